"""The policy that docs/stores.md gives is enough, and nothing in it is too much, on the stores that have such policies."""

from __future__ import annotations

import pytest

from tests.stores.actions import ACTIONS, failing_calls, statements
from tests.stores.place import Place, user_of
from tests.stores.record import Record
from tests.support.store_servers import KINDS, StoreKind

LIMITING = [kind for kind in KINDS if kind.limit]
on_those_that_limit = pytest.mark.parametrize("kind", LIMITING, ids=lambda kind: kind.name, indirect=True)


def _lost(kind: StoreKind, place: Place, name: str, actions: tuple[str, ...]) -> list[str]:
    assert kind.limit is not None
    user = user_of(place.store, name)
    kind.limit(place.store, user.access_key, user.secret_key, statements(place.store.bucket, actions))
    return failing_calls(place.store, user)


@on_those_that_limit
def test_with_all_of_them_everything_works(kind: StoreKind, place: Place) -> None:
    assert _lost(kind, place, "vidette-user", ACTIONS) == []


@on_those_that_limit
@pytest.mark.parametrize("action", ACTIONS)
def test_without_one_of_them_something_fails(action: str, kind: StoreKind, place: Place, record: Record) -> None:
    lost = _lost(kind, place, f"without-{action[3:].lower()}", tuple(each for each in ACTIONS if each != action))
    record.lost_without(action, kind.name, lost)
    assert lost

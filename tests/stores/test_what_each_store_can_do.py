"""What Vidette needs of a store it does, or the test fails; what Vidette does without is tried and written down."""

from __future__ import annotations

import pytest

from tests.stores import needed, unneeded
from tests.stores.place import Place
from tests.stores.record import Record
from tests.support.store_servers import StoreKind


@pytest.mark.parametrize("question", needed.PROBES)
def test_it_does_what_vidette_needs(question: str, kind: StoreKind, place: Place, record: Record) -> None:
    finding = needed.PROBES[question](place)
    record.found(question, kind.name, finding)
    assert finding.can, finding.note


@pytest.mark.parametrize("question", unneeded.PROBES)
def test_what_it_does_of_the_rest_leaves_it_in_order(
    question: str, kind: StoreKind, place: Place, record: Record
) -> None:
    finding = unneeded.PROBES[question](place)
    record.found(question, kind.name, finding)
    at, client = place.at("after"), place.client()
    client.put_object(**at, Body=b"in order")
    assert client.get_object(**at)["Body"].read() == b"in order"

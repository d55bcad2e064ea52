"""docs/stores.md says what the stores did when they were last tried, and nothing that somebody wrote into it by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.stores_page import PAGE, RESULTS, ROOT, page

TOLD: dict[str, Any] = json.loads(RESULTS.read_text())
BUILT = {"minio": "github.com/minio/minio", "versitygw": "github.com/versity/versitygw"}


def test_the_page_is_made_of_the_results() -> None:
    assert PAGE.read_text() == page(RESULTS.read_text()), "run `make test-stores`"


@pytest.mark.parametrize("module", BUILT)
def test_the_servers_that_were_tried_are_those_that_would_be_built(module: str) -> None:
    (version,) = [store["version"] for store in TOLD["stores"] if store["name"] == module]
    pinned = (ROOT / "deploy" / "teststores" / module / "go.mod").read_text()
    assert f"{BUILT[module]} {version}" in pinned, "run `make test-stores`"


def test_every_store_does_all_that_vidette_needs() -> None:
    lacking = [
        (store, row["question"]) for row in TOLD["needed"] for store, found in row["stores"].items() if not found["can"]
    ]
    assert lacking == []


def test_each_action_of_the_policy_is_one_that_something_needs() -> None:
    actions = {action for statement in TOLD["policy"]["Statement"] for action in statement["Action"]}
    for lost in TOLD["lost"].values():
        assert {action for action, calls in lost.items() if calls} == actions

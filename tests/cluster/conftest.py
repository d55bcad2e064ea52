"""The one cluster that the tests in this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster, any_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with any_cluster() as running:
        yield running

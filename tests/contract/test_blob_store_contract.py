"""What every blob store promises, asked of the fake and of two S3 servers; `make test-stores` asks more of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.blob_store_promises import *  # noqa: F403 -- the tests themselves
from tests.support.public_api import no_store
from tests.support.stores import store_settings
from vidette_core.adapters.s3 import S3BlobStore
from vidette_core.ports.blobs import BlobStore
from vidette_core.ports.errors import Unavailable
from vidette_core.testing.blobs import InMemoryBlobStore

Fixtures = pytest.FixtureRequest


def _real(name: str, request: Fixtures) -> Iterator[S3BlobStore]:
    store = S3BlobStore(store_settings(request.getfixturevalue(name)))
    yield store
    store.close()


@pytest.fixture(params=["s3", "seaweedfs"], scope="module")
def real(request: Fixtures) -> Iterator[S3BlobStore]:
    yield from _real(request.param, request)


@pytest.fixture(params=["memory", "s3", "seaweedfs"], scope="module")
def store(request: Fixtures) -> Iterator[BlobStore]:
    if request.param == "memory":
        yield InMemoryBlobStore()
    else:
        yield from _real(request.param, request)


async def test_a_store_that_is_away_is_unavailable(key: str) -> None:
    fake = InMemoryBlobStore()
    fake.available = False
    closed = S3BlobStore(no_store())
    calls: list[Callable[[BlobStore], object]] = [
        lambda store: store.ping(),
        lambda store: store.get(key, 10),
        lambda store: store.create_upload(key),
    ]
    for store in (fake, closed):
        for call in calls:
            with pytest.raises(Unavailable):
                await call(store)  # type: ignore[misc]  # each is a coroutine, of different types
    closed.close()

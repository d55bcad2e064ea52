"""The suite of the blob store's contract, the very one of `make test`, on all stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stores.place import Place
from tests.support.blob_store_promises import *  # noqa: F403 -- the tests themselves
from tests.support.stores import store_settings
from vidette_core.adapters.s3 import S3BlobStore


@pytest.fixture(scope="module")
def real(place: Place) -> Iterator[S3BlobStore]:
    store = S3BlobStore(store_settings(place.store))
    yield store
    store.close()


@pytest.fixture
def store(real: S3BlobStore) -> S3BlobStore:
    return real

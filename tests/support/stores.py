"""Blob stores for tests, from the endpoints of the real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from tests.support.servers import StoreEndpoint
from vidette_core.adapters.s3 import S3BlobStore
from vidette_core.settings import StoreSettings


def store_settings(store: StoreEndpoint, /, **changes: Any) -> StoreSettings:
    """`changes` are settings beside the endpoint's own, or in their place."""
    own = {"endpoint": store.endpoint, "bucket": store.bucket, "region": store.region}
    keys = {"access_key": SecretStr(store.access_key), "secret_key": SecretStr(store.secret_key)}
    return StoreSettings(**{**own, **keys, **changes})


@asynccontextmanager
async def blob_store(endpoint: StoreEndpoint, /, **changes: Any) -> AsyncIterator[S3BlobStore]:
    store = S3BlobStore(store_settings(endpoint, **changes))
    try:
        yield store
    finally:
        store.close()

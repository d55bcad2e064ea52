"""Blob stores for tests, from the endpoints of the real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr

from tests.support.servers import StoreEndpoint
from vidette_core.adapters.s3 import S3BlobStore
from vidette_core.settings import StoreSettings


@asynccontextmanager
async def blob_store(endpoint: StoreEndpoint) -> AsyncIterator[S3BlobStore]:
    store = S3BlobStore(
        StoreSettings(
            endpoint=endpoint.endpoint,
            bucket=endpoint.bucket,
            access_key=SecretStr(endpoint.access_key),
            secret_key=SecretStr(endpoint.secret_key),
            region=endpoint.region,
        )
    )
    try:
        yield store
    finally:
        store.close()

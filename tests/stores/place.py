"""What a probe of a store works with, and what it finds."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import httpx
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.servers import StoreEndpoint

MIB = 2**20
Answer = tuple[int, str]
"""HTTP status and S3's code of an error, or `OK`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a store can do what was asked, and in a few words what it did."""

    can: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A running store with its bucket. `folder` holds all that it writes; `another` runs one more of its kind in a folder."""

    store: StoreEndpoint
    folder: Path
    another: Callable[[Path], AbstractContextManager[StoreEndpoint]]

    def client(self, **changes: Any) -> Any:
        return client_of(self.store, **changes)

    def at(self, name: str) -> dict[str, str]:
        """Bucket and a key that nobody else uses."""
        return {"Bucket": self.store.bucket, "Key": f"probes/{uuid4().hex}/{name}"}


def client_of(
    store: StoreEndpoint,
    *,
    access_key: str | None = None,
    secret_key: str | None = None,
    endpoint: str | None = None,
    **config: Any,
) -> Any:
    """As Vidette's own, unless told otherwise: path style, no checksums that S3 does not ask for, one attempt.

    Without its type, whose stubs cannot see through arguments that are spread.
    """
    usual: dict[str, Any] = {
        "signature_version": "s3v4",
        "s3": {"addressing_style": "path"},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "connect_timeout": 5,
        "read_timeout": 300,
        "max_pool_connections": 32,
        "proxies": {},
        "retries": {"total_max_attempts": 1},
    }
    return boto3.client(
        "s3",
        endpoint_url=endpoint or store.endpoint,
        region_name=store.region,
        aws_access_key_id=access_key or store.access_key,
        aws_secret_access_key=secret_key or store.secret_key,
        config=Config(**{**usual, **config}),
    )


def web() -> httpx.Client:
    """A client without credentials, as a worker has."""
    return httpx.Client(timeout=60, trust_env=False)


def answer(call: Callable[..., Any], **arguments: Any) -> Answer:
    try:
        done = call(**arguments)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status, str(error.response["Error"]["Code"])
    return int(done["ResponseMetadata"]["HTTPStatusCode"]), "OK"


def bytes_of(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def md5_etag(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def parts_of(etags: dict[int, str]) -> Any:
    """For `complete_multipart_upload`; `Any`, since the stubs want a TypedDict of their own."""
    return {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in sorted(etags.items())]}


def user_of(store: StoreEndpoint, name: str) -> StoreEndpoint:
    """The same store through the eyes of somebody else."""
    return replace(store, access_key=name, secret_key=f"secret-of-{name}")

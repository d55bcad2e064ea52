"""Which S3 actions Vidette's adapter uses: its calls, each tried by a user who lacks one action."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx

from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings
from vidette_core.adapters.s3 import S3BlobStore
from vidette_core.ports.errors import NotFound, PortError

OF_OBJECTS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
OF_THE_BUCKET = ("s3:ListBucket",)
ACTIONS = (*OF_OBJECTS, *OF_THE_BUCKET)


class Refused(Exception):
    """A presigned address did not do what it is for."""


def statements(bucket: str, actions: tuple[str, ...]) -> list[dict[str, Any]]:
    """Of a policy that allows those actions of ours in one bucket, and nothing else."""
    below = [action for action in OF_OBJECTS if action in actions]
    at = [action for action in OF_THE_BUCKET if action in actions]
    made = [(below, f"arn:aws:s3:::{bucket}/*"), (at, f"arn:aws:s3:::{bucket}")]
    return [{"Effect": "Allow", "Action": names, "Resource": [where]} for names, where in made if names]


def failing_calls(store: StoreEndpoint, user: StoreEndpoint) -> list[str]:
    """The adapter's calls that fail for `user`. What they work on is put there by `store`, who may do everything."""
    return asyncio.run(_failing(store, user))


async def _failing(store: StoreEndpoint, user: StoreEndpoint) -> list[str]:
    root, limited = S3BlobStore(store_settings(store)), S3BlobStore(store_settings(user))
    try:
        return [name for name, call in _CALLS.items() if await _fails(call, root, limited)]
    finally:
        root.close()
        limited.close()


async def _fails(call: Call, root: S3BlobStore, limited: S3BlobStore) -> bool:
    key = f"actions/{uuid4().hex}/object"
    upload = await root.create_upload(key)
    await root.complete_upload(key, upload, {1: await root.upload_part(key, upload, 1, b"x")})
    try:
        await call(root, limited, key)
    except (PortError, Refused):
        return True
    return False


async def _upload(_: S3BlobStore, limited: S3BlobStore, key: str) -> None:
    upload = await limited.create_upload(f"{key}-new")
    etag = await limited.upload_part(f"{key}-new", upload, 1, b"new")
    await limited.complete_upload(f"{key}-new", upload, {1: etag})


async def _abort(root: S3BlobStore, limited: S3BlobStore, key: str) -> None:
    await limited.abort_upload(f"{key}-new", await root.create_upload(f"{key}-new"))


async def _missing(_: S3BlobStore, limited: S3BlobStore, key: str) -> None:
    """That something is not there is an answer, too, for which S3 wants to know that one may list."""
    with suppress(NotFound):
        await limited.size(f"{key}-of-nobody")


async def _list(_: S3BlobStore, limited: S3BlobStore, key: str) -> None:
    if [found async for found in limited.list(key)] != [key]:
        raise Refused(key)


async def _through(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        if (await client.get(url)).status_code != 200:
            raise Refused(url)


Call = Callable[[S3BlobStore, S3BlobStore, str], Awaitable[object]]
_CALLS: dict[str, Call] = {
    "readiness": lambda _, limited, __: limited.ping(),
    "receive a video": _upload,
    "drop an upload": _abort,
    "keep a chunk": lambda _, limited, key: limited.put(key, b"y"),
    "read a chunk": lambda _, limited, key: limited.get(key, 10),
    "look at an object": lambda _, limited, key: limited.size(key),
    "find that an object is missing": _missing,
    "list": _list,
    "delete": lambda _, limited, key: limited.delete(key),
    "a worker reads": lambda _, limited, key: _through(limited.presign_get(key)),
}

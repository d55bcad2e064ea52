"""An S3-compatible blob store. Keys are `[a-z0-9/._-]`, and each key is written once.

What stores disagree on (conditional writes, lifecycle rules, listing uploads by prefix) is not part of the port.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol


class BlobStore(Protocol):
    """Every call may raise `Unavailable`; `Rejected` means that the store refused the request itself."""

    async def ping(self) -> None:
        """A real request. Raises `Unavailable`."""

    async def create_upload(self, key: str) -> str:
        """Open a multipart upload and return its id."""

    async def upload_part(self, key: str, upload_id: str, number: int, body: bytes | bytearray) -> str:
        """Store part `number` (from 1; at least 5 MiB except the last) and return its ETag. Raises `NotFound`: aborted."""

    async def complete_upload(self, key: str, upload_id: str, etags: Mapping[int, str]) -> None:
        """Make the parts one object. Completing twice is fine. Raises `NotFound` when there is neither upload nor object."""

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Drop the parts. Aborting an upload that is gone is fine."""

    async def put(self, key: str, content: bytes) -> None:
        """Write an object in one go, all of it or nothing; the same again is fine. Tried once: callers know whether to go on."""

    async def get(self, key: str, max_bytes: int) -> bytes:
        """The whole object. Raises `NotFound`, and `Rejected` when it is larger than `max_bytes`."""

    async def size(self, key: str) -> int:
        """The object's bytes. Raises `NotFound`; just after a store's restart that may be premature."""

    def list(self, prefix: str) -> AsyncIterator[str]:
        """The keys under a prefix, paged."""

    async def delete(self, key: str) -> None:
        """Delete one object. One that is gone is fine."""

    def presign_get(self, key: str) -> str:
        """An address from which workers can read the object, ranges included."""

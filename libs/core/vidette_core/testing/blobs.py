"""A blob store in memory, for tests of what uses one. It keeps the port's promises and is held to them by the contract suite.

Its presigned addresses lead nowhere: whoever follows one wants a real store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from hashlib import md5
from uuid import uuid4

from vidette_core.ports.errors import NotFound, Rejected, Unavailable

SMALLEST_PART = 5 * 2**20
"""S3's rule for every part but the last."""


@dataclass(slots=True)
class _Upload:
    key: str
    parts: dict[int, bytes] = field(default_factory=dict)


class InMemoryBlobStore:
    """See `ports.blobs.BlobStore`. With `available` False, every call raises `Unavailable`."""

    def __init__(self) -> None:
        self.available = True
        self._objects: dict[str, bytes] = {}
        self._uploads: dict[str, _Upload] = {}

    async def ping(self) -> None:
        self._answer()

    async def create_upload(self, key: str) -> str:
        self._answer()
        upload_id = uuid4().hex
        self._uploads[upload_id] = _Upload(key)
        return upload_id

    async def upload_part(self, key: str, upload_id: str, number: int, body: bytes | bytearray) -> str:
        self._answer()
        upload = self._upload(key, upload_id)
        if not 1 <= number <= 10_000:
            raise Rejected(f"part {number} is not from 1 to 10,000")
        upload.parts[number] = bytes(body)
        return _etag(upload.parts[number])

    async def complete_upload(self, key: str, upload_id: str, etags: Mapping[int, str]) -> None:
        self._answer()
        try:
            upload = self._upload(key, upload_id)
        except NotFound:
            await self.size(key)
            return
        parts = [upload.parts.get(number, b"") for number in sorted(etags)]
        if not parts or any(_etag(upload.parts.get(number, b"")) != etag for number, etag in etags.items()):
            raise Rejected("a part named was not uploaded so")
        if any(len(part) < SMALLEST_PART for part in parts[:-1]):
            raise Rejected("a part but the last is smaller than 5 MiB")
        self._objects[key] = b"".join(parts)
        del self._uploads[upload_id]

    async def abort_upload(self, key: str, upload_id: str) -> None:
        self._answer()
        if upload_id in self._uploads and self._uploads[upload_id].key == key:
            del self._uploads[upload_id]

    async def get(self, key: str, max_bytes: int) -> bytes:
        content = self._object(key)
        if len(content) > max_bytes:
            raise Rejected(f"the object {key} is larger than {max_bytes} bytes")
        return content

    async def size(self, key: str) -> int:
        return len(self._object(key))

    async def list(self, prefix: str) -> AsyncIterator[str]:
        self._answer()
        for key in sorted(key for key in self._objects if key.startswith(prefix)):
            yield key

    async def delete(self, key: str) -> None:
        self._answer()
        self._objects.pop(key, None)

    def presign_get(self, key: str) -> str:
        return f"http://store.invalid/{key}?method=GET"

    async def put(self, key: str, content: bytes) -> None:
        self._answer()
        self._objects[key] = content

    @property
    def open_uploads(self) -> Mapping[str, str]:
        """Multipart uploads neither completed nor aborted: id → key."""
        return {upload_id: upload.key for upload_id, upload in self._uploads.items()}

    def _answer(self) -> None:
        if not self.available:
            raise Unavailable("the store does not answer")

    def _upload(self, key: str, upload_id: str) -> _Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise NotFound("the store has no such upload")
        return upload

    def _object(self, key: str) -> bytes:
        self._answer()
        try:
            return self._objects[key]
        except KeyError as error:
            raise NotFound(f"the store has no such thing: {key}") from error


def _etag(content: bytes) -> str:
    return f'"{md5(content, usedforsecurity=False).hexdigest()}"'

"""What every blob store does, as tests that any module may take in: it brings the fixtures `store` and `real`.

    from tests.support.blob_store_promises import *

`store` may be any store; `real` is one that others reach, since presigned addresses are for those only.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from vidette_core.adapters.s3 import S3BlobStore
from vidette_core.ports.blobs import BlobStore
from vidette_core.ports.errors import NotFound, Rejected

MIB = 2**20


@pytest.fixture
def key() -> str:
    return f"tests/{uuid4().hex}/object"


async def _uploaded(store: BlobStore, key: str, *parts: bytes) -> bytes:
    upload = await store.create_upload(key)
    etags = {number: await store.upload_part(key, upload, number, part) for number, part in enumerate(parts, 1)}
    await store.complete_upload(key, upload, etags)
    return b"".join(parts)


async def _keys(listing: AsyncIterator[str]) -> list[str]:
    return [found async for found in listing]


async def test_a_store_that_is_there_answers_a_ping(store: BlobStore) -> None:
    await store.ping()


async def test_parts_become_one_object_in_the_order_of_their_numbers(store: BlobStore, key: str) -> None:
    upload = await store.create_upload(key)
    second = await store.upload_part(key, upload, 2, b"b" * 1000)
    first = await store.upload_part(key, upload, 1, bytearray(b"a" * 5 * MIB))
    await store.complete_upload(key, upload, {2: second, 1: first})
    assert await store.size(key) == 5 * MIB + 1000
    assert await store.get(key, 6 * MIB) == b"a" * 5 * MIB + b"b" * 1000


async def test_a_part_sent_again_replaces_the_earlier_one(store: BlobStore, key: str) -> None:
    upload = await store.create_upload(key)
    await store.upload_part(key, upload, 1, b"first try")
    etag = await store.upload_part(key, upload, 1, b"second try")
    await store.complete_upload(key, upload, {1: etag})
    assert await store.get(key, 100) == b"second try"


async def test_completing_twice_is_fine(store: BlobStore, key: str) -> None:
    upload = await store.create_upload(key)
    etags = {1: await store.upload_part(key, upload, 1, b"x" * 10)}
    await store.complete_upload(key, upload, etags)
    await store.complete_upload(key, upload, etags)
    assert await store.size(key) == 10


async def test_completing_what_was_aborted_is_not_found(store: BlobStore, key: str) -> None:
    upload = await store.create_upload(key)
    etags = {1: await store.upload_part(key, upload, 1, b"x")}
    await store.abort_upload(key, upload)
    with pytest.raises(NotFound):
        await store.complete_upload(key, upload, etags)
    with pytest.raises(NotFound):
        await store.size(key)


async def test_a_part_of_an_aborted_upload_is_not_found(store: BlobStore, key: str) -> None:
    upload = await store.create_upload(key)
    await store.abort_upload(key, upload)
    with pytest.raises(NotFound):
        await store.upload_part(key, upload, 1, b"x")


async def test_aborting_twice_is_fine(store: BlobStore, key: str) -> None:
    upload = await store.create_upload(key)
    await store.abort_upload(key, upload)
    await store.abort_upload(key, upload)


async def test_an_object_is_not_there_before_its_upload_is_complete(store: BlobStore, key: str) -> None:
    upload = await store.create_upload(key)
    await store.upload_part(key, upload, 1, b"x")
    with pytest.raises(NotFound):
        await store.size(key)
    await store.abort_upload(key, upload)


async def test_what_is_not_there_is_not_found(store: BlobStore, key: str) -> None:
    with pytest.raises(NotFound):
        await store.get(key, 10)
    with pytest.raises(NotFound):
        await store.size(key)


async def test_an_object_larger_than_allowed_is_refused_and_one_as_large_is_not(store: BlobStore, key: str) -> None:
    content = await _uploaded(store, key, b"x" * 1000)
    assert await store.get(key, 1000) == content
    with pytest.raises(Rejected):
        await store.get(key, 999)


async def test_a_prefix_lists_the_keys_under_it_and_no_others(store: BlobStore) -> None:
    folder = f"tests/{uuid4().hex}"
    names = {f"{folder}/a/1", f"{folder}/a/2", f"{folder}/b/1"}
    for name in names:
        await _uploaded(store, name, b"x")
    assert set(await _keys(store.list(f"{folder}/"))) == names
    assert set(await _keys(store.list(f"{folder}/a/"))) == {f"{folder}/a/1", f"{folder}/a/2"}
    assert await _keys(store.list(f"{folder}/c/")) == []


async def test_deleting_is_final_and_may_be_repeated(store: BlobStore, key: str) -> None:
    await _uploaded(store, key, b"x")
    await store.delete(key)
    await store.delete(key)
    with pytest.raises(NotFound):
        await store.size(key)


async def test_a_small_object_is_written_whole_and_the_same_again_is_fine(store: BlobStore, key: str) -> None:
    for _ in range(2):
        await store.put(key, b"abc")
    assert (await store.size(key), await store.get(key, 3)) == (3, b"abc")


class TestPresignedAddresses:
    """What workers hold instead of credentials."""

    async def test_one_reads_an_object_in_ranges(self, real: S3BlobStore, key: str) -> None:
        content = hashlib.sha256(b"seed").digest() * 100
        await real.put(key, content)
        async with httpx.AsyncClient(trust_env=False) as client:
            part = await client.get(real.presign_get(key), headers={"Range": "bytes=10-19"})
        assert part.status_code == 206
        assert part.content == content[10:20]

    async def test_an_address_is_for_one_object_and_one_method(self, real: S3BlobStore, key: str) -> None:
        await _uploaded(real, key, b"x")
        address = real.presign_get(key)
        async with httpx.AsyncClient(trust_env=False) as client:
            other = await client.get(address.replace("/object", "/other"))
            put = await client.put(address, content=b"y")
            delete = await client.delete(address)
        assert [answer.status_code for answer in (other, put, delete)] == [403, 403, 403]
        assert await real.get(key, 10) == b"x"

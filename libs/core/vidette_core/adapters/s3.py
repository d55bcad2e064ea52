"""The blob store on boto3. Its calls block, so each runs in a thread of a pool of this adapter's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from vidette_core.ports.errors import NotFound, PortError, Rejected, Unavailable
from vidette_core.settings import StoreSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
_MISSING = {"NoSuchKey", "NoSuchUpload", "404", "NotFound", "NoSuchBucket"}
THREADS = 32
"""Requests to the store at once; more wait. Two for each of the default number of uploads, and as many for readers."""
PUT_THREADS = 8
"""Whole objects that are written at once, beside these: workers' chunks must not keep clients waiting."""
PING_S = 3.0
PUT_S = 15.0
"""For the store's answer to a whole object, at most: who sends one waits for no more than half a minute."""


class S3BlobStore:
    """See `ports.blobs.BlobStore`. `close` ends its threads."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._bucket = settings.bucket
        self._client = _client(settings, settings.endpoint, settings.timeout_s)
        self._patient = _client(settings, settings.endpoint, settings.complete_timeout_s)
        self._single = _client(settings, settings.endpoint, min(PUT_S, settings.timeout_s), attempts=1)
        self._signer = _client(settings, settings.worker_endpoint or settings.endpoint, settings.timeout_s)
        self._quick = _client(settings, settings.endpoint, min(PING_S, settings.timeout_s), attempts=1)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        self._puts = asyncio.Semaphore(PUT_THREADS)
        self._put_threads = ThreadPoolExecutor(PUT_THREADS, thread_name_prefix="s3-put")
        # Of its own, so that a ping does not wait behind uploads, and a store that hangs does not keep uploads from ending.
        self._ping_threads = ThreadPoolExecutor(4, thread_name_prefix="s3-ping")

    async def ping(self) -> None:
        await self._run(lambda: self._quick.head_bucket(Bucket=self._bucket), self._ping_threads)

    async def create_upload(self, key: str) -> str:
        return await self._run(lambda: self._client.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"])

    async def upload_part(self, key: str, upload_id: str, number: int, body: bytes | bytearray) -> str:
        return await self._run(
            lambda: self._client.upload_part(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=body,  # type: ignore[arg-type]  # botocore takes a bytearray as well, its stubs do not know
            )["ETag"]
        )

    async def complete_upload(self, key: str, upload_id: str, etags: Mapping[int, str]) -> None:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(etags.items())]
        try:
            await self._run(
                lambda: self._patient.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=key,
                    UploadId=upload_id,
                    MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]  # the stubs want their own TypedDict
                )
            )
        except NotFound:
            # The answer to an earlier try may have been lost: then the object is there.
            await self.size(key)

    async def abort_upload(self, key: str, upload_id: str) -> None:
        try:
            await self._run(
                lambda: self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)
            )
        except NotFound:
            return

    async def put(self, key: str, content: bytes) -> None:
        def call() -> object:
            return self._single.put_object(Bucket=self._bucket, Key=key, Body=content)

        await self._puts.acquire()
        writing = asyncio.ensure_future(self._run(call, self._put_threads))
        writing.add_done_callback(self._written)
        # Who gives up waiting leaves the thread behind, with the content: its place is free when it has ended.
        await asyncio.shield(writing)

    def _written(self, writing: asyncio.Future[object]) -> None:
        self._puts.release()
        if not writing.cancelled():
            writing.exception()  # or asyncio would tell of it, if nobody waits any more

    async def get(self, key: str, max_bytes: int) -> bytes:
        return await self._run(lambda: self._read(key, max_bytes))

    def _read(self, key: str, max_bytes: int) -> bytes:
        answer = self._client.get_object(Bucket=self._bucket, Key=key)
        length = answer["ContentLength"]
        with answer["Body"] as body:
            # The store's word for the length saves reading; the bytes themselves decide.
            content = body.read(max_bytes + 1) if length <= max_bytes else None
        if content is None or len(content) > max_bytes:
            raise Rejected(f"the object {key} is larger than {max_bytes} bytes")
        if len(content) < length:  # botocore sees to that only where it is asked for all there is
            raise Unavailable(f"the store broke off in the middle of {key}")
        return content

    async def size(self, key: str) -> int:
        return await self._run(lambda: self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"])

    async def list(self, prefix: str) -> AsyncIterator[str]:
        token: str | None = None
        while True:
            more = {"ContinuationToken": token} if token else {}
            page = await self._run(
                lambda more=more: self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, **more)  # type: ignore[misc]  # mypy cannot infer a lambda's default
            )
            for entry in page.get("Contents", []):
                yield entry["Key"]
            token = page.get("NextContinuationToken")
            if not token:
                return

    async def delete(self, key: str) -> None:
        await self._run(lambda: self._client.delete_object(Bucket=self._bucket, Key=key))

    def presign_get(self, key: str) -> str:
        params = {"Bucket": self._bucket, "Key": key}
        return self._signer.generate_presigned_url("get_object", params, self._settings.url_life_s)

    def close(self) -> None:
        for threads in (self._threads, self._put_threads, self._ping_threads):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, call: Callable[[], T], threads: ThreadPoolExecutor | None = None) -> T:
        with _translating():
            return await asyncio.get_running_loop().run_in_executor(threads or self._threads, call)


def _client(settings: StoreSettings, endpoint: str, timeout_s: float, attempts: int = 3) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=settings.region,
        aws_access_key_id=settings.access_key.get_secret_value(),
        aws_secret_access_key=settings.secret_key.get_secret_value(),
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=min(5.0, timeout_s),
            read_timeout=timeout_s,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=THREADS,
            # The default, CRC32 trailers, is refused or stored verbatim by several S3-compatible stores.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _translated(error) from error
    except (BotoCoreError, OSError) as error:
        raise Unavailable(f"the store does not answer: {type(error).__name__}") from error
    except KeyError as error:
        raise Unavailable(f"the store answers without what it was asked for: {error}") from error


def _translated(error: ClientError) -> PortError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _MISSING or status == 404:
        return NotFound(f"the store has no such thing: {code}")
    if status >= 500 or status == 429 or code in {"SlowDown", "RequestTimeout"}:
        return Unavailable(f"the store answered {status} {code}")
    return Rejected(f"the store answered {status} {code}")

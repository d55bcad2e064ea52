"""HTTP by hand, for what no proper client does: stop in the middle, crawl, or leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

BOUNDARY = "raw"
FILE_HEAD = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="v"\r\n\r\n'.encode()
FORM_END = (
    f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="pipeline_id"\r\n\r\nyolo_ocr\r\n--{BOUNDARY}--\r\n'
).encode()


@dataclass(frozen=True, slots=True)
class RawAnswer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class RawUpload:
    """`POST /video/submit` on a connection of its own."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def answer(self) -> RawAnswer:
        """The next answer, by its Content-Length; a `100 Continue` is one without a body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return RawAnswer(int(head[0].split(" ")[1]), headers, body)

    async def leave(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def raw_upload(
    port: int, length: int | None = 90 * 2**20, *, version: str = "1.1", extra: str = ""
) -> AsyncIterator[RawUpload]:
    """Connected, with the request's head sent: `length` bytes are declared, or a chunked body is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    head = (
        f"POST /video/submit HTTP/{version}\r\nHost: test\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"{size}\r\n{extra}\r\n"
    )
    writer.write(head.encode())
    try:
        yield RawUpload(reader, writer)
    finally:
        writer.transport.abort()

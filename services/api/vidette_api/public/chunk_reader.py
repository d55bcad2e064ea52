"""Reading one committed chunk. Workers decode media that strangers made, so what one wrote is hostile until it is checked.

Of a chunk, nothing is shown before all of it has passed: size and SHA-256 against the committed row, the zstd window and
output against bounds, every line against the schema of `domain.results`, and the frame indices against the job's sampling.
What is shown is the validated row written anew, not the worker's bytes: a line with a key twice, or with its defaults left
out, would mean one thing to us and another to a client. Writing anew costs a quarter of what validation does (measured).
"""

from __future__ import annotations

import asyncio
import hashlib

import structlog
import zstandard
from pydantic import TypeAdapter, ValidationError

from vidette_api.settings import ResultSettings
from vidette_core.domain.chunks import Chunk
from vidette_core.domain.results import FrameRow
from vidette_core.domain.sampling import Sampling
from vidette_core.ports.blobs import BlobStore
from vidette_core.ports.errors import NotFound, Rejected, Unavailable

WINDOW_BYTES = 8 * 2**20
"""What a decoder has to support (RFC 8878 §3.1.1.1.2); the workers' level needs less."""
_PIECE = 2**20
_ROW = TypeAdapter(FrameRow)
_log = structlog.get_logger(__name__)


class BadChunk(Exception):
    """A committed chunk is not what it has to be: a defect, or a worker that lied. The message is for the log."""


async def read_chunk(store: BlobStore, chunk: Chunk, sampling: Sampling, limits: ResultSettings) -> list[bytes]:
    """The chunk's rows, each a JSON object without line feeds. Raises `BadChunk` and `Unavailable`."""
    if chunk.bytes > limits.max_chunk_bytes:
        raise BadChunk(f"{chunk.bytes} bytes are more than the {limits.max_chunk_bytes} that are read")
    content = await _fetch(store, chunk, limits.retry_s)
    return await asyncio.to_thread(checked_rows, content, chunk, sampling, limits.max_chunk_text_bytes)


async def _fetch(store: BlobStore, chunk: Chunk, retry_s: float) -> bytes:
    """Asks again for a while: a store that has just started denies objects that it has."""
    clock = asyncio.get_running_loop()
    end, delay = clock.time() + retry_s, 0.2
    while True:
        try:
            return await store.get(chunk.key, chunk.bytes)
        except Rejected as error:
            raise BadChunk(str(error)) from error
        except NotFound as error:
            if clock.time() + delay > end:
                raise Unavailable(f"the store has not the committed chunk {chunk.key}") from error
            _log.warning("the store denies a committed chunk; asking again", key=chunk.key, retry_s=delay)
        await asyncio.sleep(delay)
        delay *= 2


def checked_rows(content: bytes, chunk: Chunk, sampling: Sampling, max_text_bytes: int) -> list[bytes]:
    """What `read_chunk` does once the bytes are here. Raises `BadChunk`."""
    if len(content) != chunk.bytes or hashlib.sha256(content).hexdigest() != chunk.sha256:
        raise BadChunk("its bytes are not those that were committed")
    lines = _decompressed(content, max_text_bytes).split(b"\n")
    if not lines[-1]:
        lines.pop()  # the last line ends with a line feed too
    if len(lines) != chunk.tally.frames:
        raise BadChunk(f"it has {len(lines)} rows where {chunk.tally.frames} were committed")
    return [_checked(line, sampling.frame_index(chunk.first_sample + at)) for at, line in enumerate(lines)]


def _decompressed(content: bytes, most: int) -> bytearray:
    text = bytearray()
    try:
        with zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).stream_reader(content) as reader:
            while piece := reader.read(_PIECE):
                text += piece
                if len(text) > most:
                    raise BadChunk(f"it decompresses to more than {most} bytes")
    except zstandard.ZstdError as error:
        raise BadChunk(f"it does not decompress: {error}") from error
    return text


def _checked(line: bytearray, frame_index: int) -> bytes:
    try:
        # Strict, so that nothing is what it is only by goodwill: no "1" for 1, no true for 1.0.
        row = _ROW.validate_json(line, strict=True)
    except ValidationError as error:
        raise BadChunk(
            f"a row is not valid: {error.errors(include_input=False, include_url=False)[0]['msg']}"
        ) from error
    if row.frame_index != frame_index:
        raise BadChunk(f"frame {row.frame_index} stands where frame {frame_index} belongs")
    return _ROW.dump_json(row)

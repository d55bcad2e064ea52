"""Rows to chunks: NDJSON, zstd, a digest, and the counts that the ledger needs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import zstandard

from vidette_core.domain.jobs import TextCounts
from vidette_core.domain.results import FrameError, FrameRow
from vidette_core.domain.worker_api import ChunkMessage

LEVEL = 3
"""zstd's default: higher levels cost more time than they save bytes here."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """A frame's row, and how its lines of text came to be known."""

    row: FrameRow
    text: TextCounts


def pack(first_sample: int, frames: Sequence[Analysed]) -> tuple[ChunkMessage, bytes]:
    """The chunk of these frames: the same rows always give the same bytes."""
    rows = [frame.row for frame in frames]
    text = sum((frame.text for frame in frames), TextCounts())
    lines = b"".join(row.model_dump_json().encode() + b"\n" for row in rows)
    content = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True).compress(lines)
    errors = [row.result.error for row in rows]
    decode, model = errors.count(FrameError.DECODE_ERROR), errors.count(FrameError.MODEL_ERROR)
    message = ChunkMessage(
        first_sample=first_sample,
        ok=len(rows) - decode - model,
        decode_error=decode,
        model_error=model,
        lines_read=text.read,
        lines_reused=text.reused,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return message, content

"""Rows to chunks: NDJSON, zstd, a digest, and the counts that the ledger needs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import zstandard

from vidette_core.domain.results import FrameError, FrameRow
from vidette_core.domain.worker_api import ChunkMessage

LEVEL = 3
"""zstd's default: higher levels cost more time than they save bytes here."""


def pack(first_sample: int, rows: Sequence[FrameRow]) -> tuple[ChunkMessage, bytes]:
    """The chunk of these rows: the same rows always give the same bytes."""
    lines = b"".join(row.model_dump_json().encode() + b"\n" for row in rows)
    content = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True).compress(lines)
    errors = [row.result.error for row in rows]
    decode, model = errors.count(FrameError.DECODE_ERROR), errors.count(FrameError.MODEL_ERROR)
    message = ChunkMessage(
        first_sample=first_sample,
        ok=len(rows) - decode - model,
        decode_error=decode,
        model_error=model,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return message, content

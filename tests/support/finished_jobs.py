"""Completed jobs made by hand: rows in the database, and chunks in the store put there as a worker does it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import zstandard
from sqlalchemy import func, insert, update
from sqlmodel import col

from tests.support.public_api import PIPELINE, Api
from vidette_core.adapters.postgres.schema import ChunkRow, JobRow
from vidette_core.domain.chunks import ChunkClaim, chunk_key
from vidette_core.domain.jobs import Fence, JobState, Tally
from vidette_core.domain.sampling import Sampling
from vidette_core.ports.jobs import Submission


def frame(index: int, *, error: str | None = None) -> dict[str, Any]:
    """A row as a worker writes it, with everything in it that a row may have."""
    if error is not None:
        return {"frame_index": index, "result": {"detections": [], "text": "", "lines": [], "error": error}}
    x = float(index % 100)
    box = {"label": "car", "class_id": 2, "confidence": 0.875, "bbox": [x, 2.5, 30.0, 40.25]}
    line = {"text": f"Größe {index}", "confidence": 0.5, "polygon": [[x, 0.0], [9.0, 0.0], [9.0, 5.5], [x, 5.5]]}
    result = {"detections": [box], "text": line["text"], "timestamp_ms": index * 40.0, "lines": [line]}
    return {"frame_index": index, "result": result}


def ndjson(rows: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows)


def packed(text: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(text)


@dataclass(frozen=True, slots=True)
class MadeChunk:
    """What lies in the store, and what the committed row says of it: the same, unless a test makes them differ."""

    content: bytes
    claim: ChunkClaim

    def saying(self, **changes: Any) -> MadeChunk:
        return replace(self, claim=replace(self.claim, **changes))


def made_chunk(first_sample: int, content: bytes, tally: Tally) -> MadeChunk:
    return MadeChunk(content, ChunkClaim(first_sample, tally, len(content), hashlib.sha256(content).hexdigest()))


def chunks_of(rows: Sequence[dict[str, Any]], chunk_frames: int) -> list[MadeChunk]:
    """Rows of consecutive samples, cut as a worker cuts them."""
    made = []
    for first in range(0, len(rows), chunk_frames):
        part = rows[first : first + chunk_frames]
        ends = [row["result"].get("error", "ok") for row in part]
        tally = Tally(ends.count("ok"), ends.count("decode_error"), ends.count("model_error"))
        made.append(made_chunk(first, packed(ndjson(part)), tally))
    return made


async def running_job(api: Api, sampling: Sampling | None = None, chunk_frames: int = 10) -> UUID:
    """Submitted, and claimed by nobody in particular."""
    job_id = uuid4()
    await api.services.submissions.begin(
        job_id, container="mov", source_key=f"sources/{job_id}", tenant=api.services.tenant
    )
    await api.services.submissions.submit(job_id, Submission(PIPELINE, sampling or Sampling(), chunk_frames, 1000))
    await change(api, job_id, state=JobState.RUNNING)
    return job_id


async def finished_job(
    api: Api, chunks: Sequence[MadeChunk], sampling: Sampling | None = None, chunk_frames: int = 10
) -> UUID:
    job_id = await running_job(api, sampling, chunk_frames)
    await put_chunks(api, job_id, chunks, chunk_frames)
    total = sum((chunk.claim.tally for chunk in chunks), Tally())
    await change(
        api,
        job_id,
        state=JobState.COMPLETED,
        progress=1.0,
        frames_ok=total.ok,
        frames_decode_error=total.decode_error,
        frames_model_error=total.model_error,
        finished_at=func.now(),
    )
    return job_id


async def put_chunks(api: Api, job_id: UUID, chunks: Sequence[MadeChunk], chunk_frames: int) -> None:
    rows = []
    for chunk in chunks:
        key = chunk_key(Fence(job_id, 0, 1), chunk.claim, chunk_frames)
        await api.services.store.put(key, chunk.content)
        rows.append(_row(job_id, chunk.claim, key))
    async with api.services.database.transaction() as session:
        await session.execute(insert(ChunkRow), rows)


async def change(api: Api, job_id: UUID, **values: Any) -> None:
    async with api.services.database.transaction() as session:
        await session.execute(update(JobRow).where(col(JobRow.id) == job_id).values(values))


def _row(job_id: UUID, claim: ChunkClaim, key: str) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "first_sample": claim.first_sample,
        "segment": 0,
        "epoch": 1,
        "ok": claim.tally.ok,
        "decode_error": claim.tally.decode_error,
        "model_error": claim.tally.model_error,
        "bytes": claim.bytes,
        "sha256": claim.sha256,
        "key": key,
    }

"""Chunks: the unit in which results are committed, and the names under which they lie in the store.

A chunk holds `chunk_frames` sampled frames as zstd-compressed NDJSON. Its boundaries are multiples of `chunk_frames` in the
sequence of samples, whatever the segmentation and whoever died, so that the same video always gives the same chunks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from vidette_core.domain.jobs import Fence, Tally, TextCounts
from vidette_core.domain.results import MAX_ROW_BYTES

MAX_CHUNK_FRAMES = 256
MAX_CHUNK_BYTES = 64 * 2**20
"""Compressed. A chunk of 200 crowded frames has 50 KB."""
MAX_CHUNK_TEXT_BYTES = MAX_CHUNK_FRAMES * MAX_ROW_BYTES
"""Decompressed: 96 MiB. What one reader holds is at most three times this."""
SHA_PREFIX = 16
"""Hex digits of the SHA-256 in a key. Two writers of one epoch do not exist, so this only has to tell retries apart."""


@dataclass(frozen=True, slots=True)
class ChunkClaim:
    """What a worker says of a chunk, and its size: `tally.frames` samples from `first_sample` on."""

    first_sample: int
    tally: Tally
    bytes: int
    sha256: str
    text: TextCounts = field(default_factory=TextCounts)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A committed chunk, as readers find it."""

    segment: int
    first_sample: int
    tally: Tally
    bytes: int
    sha256: str
    key: str

    @property
    def end_sample(self) -> int:
        return self.first_sample + self.tally.frames


def source_key(job_id: UUID) -> str:
    return f"sources/{job_id}"


def results_prefix(job_id: UUID) -> str:
    return f"results/{job_id}/"


def chunk_key(fence: Fence, claim: ChunkClaim, chunk_frames: int) -> str:
    """Derived by the gateway, never taken from a worker: `results/<job>/<segment>/<seq>-e<epoch>-<sha256>.ndjson.zst`."""
    seq = claim.first_sample // chunk_frames
    name = f"{seq:08d}-e{fence.epoch}-{claim.sha256[:SHA_PREFIX]}.ndjson.zst"
    return f"{results_prefix(fence.job_id)}{fence.segment}/{name}"


def is_on_boundary(claim: ChunkClaim, chunk_frames: int) -> bool:
    """Chunks begin at multiples of `chunk_frames`, and only the last of a segment is shorter."""
    return claim.first_sample % chunk_frames == 0 and 0 < claim.tally.frames <= chunk_frames

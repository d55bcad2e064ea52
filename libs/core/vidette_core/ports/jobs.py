"""The job store: the truth about jobs, their segments and chunks. Its adapter is `adapters.postgres`.

One protocol for each user of it: the api writes `Submissions` and reads by `JobReader`, the gateway writes `Segments` and
`Planning`, the controller `Schedule` and `Sweeping`. Every call may raise `Unavailable` (`DatabaseUnavailable`). Every write
that matters is a compare-and-set, or carries a fence and changes nothing when the fence is not in force.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from vidette_core.domain.chunks import Chunk, ChunkClaim
from vidette_core.domain.errors import Problem
from vidette_core.domain.jobs import DEFAULT_TENANT, Fence, Job, JobWarning, Tally
from vidette_core.domain.ledger import Imbalance
from vidette_core.domain.pipelines import Pipeline
from vidette_core.domain.planning import Plan
from vidette_core.domain.sampling import Sampling
from vidette_core.domain.schedule import Snapshot
from vidette_core.ports.errors import Conflict


@dataclass(frozen=True, slots=True)
class Submission:
    """What the form asked for, known once the body is through."""

    pipeline: Pipeline
    sampling: Sampling
    chunk_frames: int
    source_bytes: int
    max_workers: int | None = None
    """The most workers at once; None: as many as the installation allows."""
    traceparent: str | None = None
    """Of the request, for the traces of what follows from it. Never shown to clients."""


class Submissions(Protocol):
    """A job from the first byte of its upload to `pending`, or to `failed` when the upload breaks off.

    All but `begin` raise `Conflict` when the job is not uploading (any more): the sweeper may have given it up.
    """

    async def begin(self, job_id: UUID, *, container: str, source_key: str, tenant: str = DEFAULT_TENANT) -> None:
        """Write the row before the multipart upload opens, so that nothing in the store is without one."""

    async def record_upload(self, job_id: UUID, upload_id: str) -> None:
        """Store the multipart upload's id, by which the sweeper can abort it."""

    async def heartbeat(self, job_id: UUID) -> None:
        """Say that the upload goes on."""

    async def submit(self, job_id: UUID, submission: Submission) -> None:
        """`uploading` → `pending`, with the pipeline pinned."""

    async def abandon(self, job_id: UUID, problem: Problem) -> None:
        """`uploading` → `failed`."""


@dataclass(frozen=True, slots=True)
class PipelinesInUse:
    """What unfinished jobs pinned. While `uploading`, a job may yet pin a pipeline that has left the catalog meanwhile."""

    pipelines: tuple[Pipeline, ...]
    uploading: bool


class JobReader(Protocol):
    async def job(self, job_id: UUID, tenant: str = DEFAULT_TENANT) -> Job:
        """Raises `NotFound`, also for another tenant's job, and for one whose upload was never completed."""

    async def pipeline(self, digest: str) -> Pipeline:
        """The pipeline that a job pinned. Raises `NotFound`."""

    async def pipelines_in_use(self) -> PipelinesInUse:
        """Every pipeline that a pending or running job pinned, each once."""

    async def chunk(self, job: Job, first_sample: int) -> Chunk:
        """The committed chunk that begins there. Raises `NotFound`."""

    def chunks(self, job: Job, first_sample: int) -> AsyncIterator[Chunk]:
        """The committed chunks that hold samples from `first_sample` on, in order, in constant memory."""


class Cancelling(Protocol):
    async def request(self, job_id: UUID) -> None:
        """Write down that the job shall end, and fence its workers at once; the controller ends it.

        Again is fine, also once the job was cancelled. Raises `NotFound`, and `Conflict` when it ended otherwise.
        """


class Verifying(Protocol):
    async def request(
        self, job_id: UUID, verification_id: UUID, frames: int, seed: int, tenant: str = DEFAULT_TENANT
    ) -> None:
        """Make a `pending` job that analyses some of a completed job's frames once more, drawn by `seed`.

        Raises `NotFound`, and `Conflict` where the job is not completed, or is a verification itself.
        """


class Fenced(Conflict):
    """The fence is not in force: another worker has taken over, or the job is over."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a job pinned at submit, as its workers need it."""

    source_key: str
    container: str
    pipeline_digest: str
    sampling: Sampling
    chunk_frames: int
    max_workers: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A segment is the pod's until its lease runs out or its epoch is raised."""

    fence: Fence
    next_sample: int
    window_end: int | None
    """The sample behind the segment's last one; None where only the decoder will know."""
    expected_samples: int | None
    """How many the plan expects of the whole video; None without a window, and for a verification, whose windows are drawn."""
    in_decoder_order: bool
    """The index cannot say which frame is which: what the decoder hands out is counted, from the video's first frame on."""
    planned: bool
    lease_s: float
    terms: Terms


@dataclass(frozen=True, slots=True)
class Busy:
    """Others hold what is unfinished; ask again after a while."""


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing is left to do for this attempt: the job is final, the attempt was replaced, or all segments are done."""


@dataclass(frozen=True, slots=True)
class Committed:
    """`next_sample` is expected next; `is_new` is False for the identical commit again."""

    next_sample: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """The chunk may be stored under `key`; `committed` where it has been, and is a result."""

    key: str
    committed: Committed | None


class Segments(Protocol):
    """Claims, leases and fenced writes. All but `claim` raise `Fenced` when the fence is not in force."""

    async def claim(self, job_id: UUID, attempt: int, pod: str) -> Claimed | Busy | Over:
        """Give the pod a segment that nobody holds, whose lease ran out, or that it holds itself (a lost answer)."""

    async def terms(self, fence: Fence) -> Terms:
        """What the job pinned."""

    async def renew(self, fence: Fence, samples: int) -> None:
        """Extend the lease; `samples` is how many of the segment's are analysed. Progress never falls."""

    async def commit(self, fence: Fence, claim: ChunkClaim) -> Committed:
        """Make a stored chunk a result. The identical commit again is fine.

        Raises `Conflict` for a gap, an overlap, a chunk off its boundary, behind the end or out of the window.
        """

    async def expect(self, fence: Fence, claim: ChunkClaim) -> Expected:
        """What `commit` would say of the chunk now: what cannot become a result need not be stored. Raises as `commit` does."""

    async def finish(self, fence: Fence, end_sample: int, warnings: tuple[JobWarning, ...]) -> None:
        """The last chunk is committed. The same again is fine, also once the job is over.

        A warning that the job has already is not repeated. Raises `Conflict`.
        """

    async def report(self, fence: Fence, problem: Problem) -> None:
        """The holder says that the job cannot succeed; the controller ends it. Raises `Conflict` behind the end."""


class Planning(Protocol):
    """In how many segments a job is analysed. Fenced as `Segments` is."""

    async def seconds_per_sample(self, pipeline_digest: str) -> float | None:
        """What one worker has lately taken for a sampled frame of the pipeline; None while no job of it tells."""

    async def post_plan(self, fence: Fence, plan: Plan) -> int | None:
        """Make the segments of the first plan that comes; a later one changes nothing. The holder's window end is returned."""

    async def replan(self, fence: Fence, warning: JobWarning) -> None:
        """The windows do not hold: drop all chunks, fence all workers, and go on with one open-ended segment from sample 0.

        Raises `Conflict` when the job has one such segment already.
        """


@dataclass(frozen=True, slots=True)
class Caps:
    """How many jobs may run at once."""

    running: int
    running_per_tenant: int


@dataclass(frozen=True, slots=True)
class WorkerCaps:
    """How many workers the running jobs may have together. Each has one in any case."""

    workers: int
    workers_per_tenant: int


@dataclass(frozen=True, slots=True)
class Launch:
    """What the claim stores in the row for the launched job to be created."""

    name: str
    spec_hash: str


class Schedule(Protocol):
    """Who runs, which attempt, and when a job is over. The bools say whether the compare-and-set met the row."""

    async def claim(self, caps: Caps, launch: Callable[[UUID, int], Launch]) -> list[UUID]:
        """`pending` → `running`, as many as the caps allow, in fair order, counted and claimed in one transaction."""

    async def end_cancelled(self, problem: Problem) -> list[UUID]:
        """`pending` → `failed` for every job that shall be cancelled and was never claimed."""

    async def snapshot(self) -> Snapshot:
        """All running jobs with their segments, and the database's time."""

    async def record_uid(self, job_id: UUID, attempt: int, uid: str) -> bool:
        """Store the uid of the attempt's launched job."""

    async def grow(self, job_id: UUID, attempt: int, wanted: int, caps: WorkerCaps) -> int:
        """Give the job up to `wanted` workers, as far as the caps have room, and return how many it has now.

        It never gets fewer than it had. 0 when the attempt is not the current one.
        """

    async def next_attempt(
        self, job_id: UUID, attempt: int, launch: Launch, *, blame: bool, more_memory: bool = False
    ) -> bool:
        """Raise the attempt and every segment's epoch, which fences the old attempt's workers at once.

        `blame` counts the attempt against the job; without it, the claims of its pods are forgiven too. `more_memory` is kept
        for this attempt and all that follow. It begins with one worker.
        """

    async def release(self, job_id: UUID, attempt: int, pods: Sequence[str], blameless: Sequence[str]) -> bool:
        """Let the segments of pods that have ended be claimed at once, instead of after their lease.

        The claims of `blameless` pods, which ended for want of something else, do not count as stalled.
        """

    async def fail(self, job_id: UUID, attempt: int, problem: Problem) -> bool:
        """`running` → `failed`. A commit under way may still land; readers are shown nothing of a failed job."""

    async def finish(self, job_id: UUID, judge: Callable[[Tally | Imbalance], Problem | None]) -> str | None:
        """`running` → `completed`, or `failed` by the judge's problem; the ledger is read under a lock on the row.

        Returns the outcome (`completed` or the problem's code), or None when the job is not running any more or shall be
        cancelled.
        """


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a job may have in the store: its video, a multipart upload, chunks."""

    job_id: UUID
    source_key: str
    upload_id: str | None
    ended_at: datetime
    submitted: bool
    """False when the upload was never completed: then nobody will ever need the video."""


class Sweeping(Protocol):
    async def give_up_uploads(self, silence_s: float, problem: Problem) -> list[Leftover]:
        """`uploading` → `failed` for every job whose heartbeat is older than `silence_s`."""

    async def unswept(self, age_s: float, after: Leftover | None) -> list[Leftover]:
        """A batch of jobs that ended `age_s` ago or earlier and were not swept yet, the oldest first."""

    async def committed(self, job_id: UUID) -> set[str]:
        """The keys that are results: about 100 bytes for each chunk, 5 MB for ten million frames."""

    async def mark_swept(self, job_id: UUID) -> bool:
        """The job has left nothing more in the store."""

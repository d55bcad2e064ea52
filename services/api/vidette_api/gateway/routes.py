"""The workers' routes. Bodies are in `vidette_core.domain.worker_api`; tokens decide who may call what."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Header, Query, Request

from vidette_api.gateway.chunk_intake import ChunkIntake
from vidette_api.wiring import Services, Wired
from vidette_core.domain.chunks import ChunkClaim
from vidette_core.domain.errors import DomainError, ErrorCode, Problem
from vidette_core.domain.jobs import Fence, JobWarning, Tally, TextCounts
from vidette_core.domain.planning import PLAN_DID_NOT_HOLD, Costs, Listed, plan
from vidette_core.domain.worker_api import (
    ChunkMessage,
    ClaimAnswer,
    ClaimBusy,
    ClaimOver,
    ClaimRequest,
    CommitAnswer,
    FinishRequest,
    PlanAnswer,
    PlanRequest,
    PresignedUrl,
    RenewRequest,
    ReportRequest,
    SegmentClaim,
)
from vidette_core.ports.errors import PortError
from vidette_core.ports.jobs import Busy, Claimed, Over
from vidette_core.telemetry.logs import job_in_logs
from vidette_core.telemetry.metrics import CHUNKS_COMMITTED, CLAIMS, FRAMES_COMMITTED
from vidette_core.tokens import InvalidToken

BUSY_RETRY_S = 2.0
_log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1")
COMMIT_PATH = f"{router.prefix}/chunks"


def _bearer(authorization: Annotated[str | None, Header()] = None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken("a bearer token is needed")
    return token


Token = Annotated[str, Depends(_bearer)]


def _fence(request: Request, services: Wired, token: Token) -> Fence:
    fence = services.tokens.read_session_token(token)
    request.state.job_id = fence.job_id  # for the request's log line
    return fence


Held = Annotated[Fence, Depends(_fence)]


async def _intake(request: Request) -> ChunkIntake:
    """A coroutine, as `services_of` is."""
    intake: ChunkIntake = request.app.state.chunk_intake
    return intake


Intake = Annotated[ChunkIntake, Depends(_intake)]


@router.post("/claim")
async def claim(request: ClaimRequest, http: Request, services: Wired, token: Token) -> ClaimAnswer:
    job_id, attempt = services.tokens.read_job_token(token)
    http.state.job_id = job_id
    with job_in_logs(job_id, pod=request.pod):
        claimed = await services.segments.claim(job_id, attempt, request.pod)
        CLAIMS.labels(type(claimed).__name__.lower()).inc()
        match claimed:
            case Claimed():
                return ClaimAnswer(answer=await _segment_claim(services, claimed))
            case Busy():
                await services.wakeup.wake(job_id)
                return ClaimAnswer(answer=ClaimBusy(retry_after_s=BUSY_RETRY_S))
            case Over():
                return ClaimAnswer(answer=ClaimOver())


@router.get("/source")
async def source(services: Wired, fence: Held) -> PresignedUrl:
    terms = await services.segments.terms(fence)
    return PresignedUrl(url=services.store.presign_get(terms.source_key))


@router.post("/plan")
async def post_plan(request: PlanRequest, services: Wired, fence: Held) -> PlanAnswer:
    terms, parallel = await services.segments.terms(fence), services.parallel
    frame_s = await _frame_cost(services, terms.pipeline_digest)
    made = plan(
        Listed(request.frames, request.has_increasing_timestamps),
        terms.sampling,
        terms.chunk_frames,
        Costs(frame_s, parallel.worker_start_s),
        min(parallel.max_workers_per_job, terms.max_workers or parallel.max_workers_per_job),
    )
    window_end = await services.planning.post_plan(fence, made)
    job_id, segments = str(fence.job_id), len(made.windows)
    _log.info("the video's index", job_id=job_id, **request.model_dump(), frame_s=frame_s, segments=segments)
    return PlanAnswer(window_end=window_end)


@router.post("/replan", status_code=204)
async def replan(services: Wired, fence: Held) -> None:
    await services.planning.replan(fence, PLAN_DID_NOT_HOLD)
    _log.warning("the plan does not hold, one worker begins anew", job_id=str(fence.job_id), segment=fence.segment)
    await services.wakeup.wake(fence.job_id)


@router.post("/renew", status_code=204)
async def renew(request: RenewRequest, services: Wired, fence: Held) -> None:
    await services.segments.renew(fence, request.samples)


@router.post("/chunks")
async def commit(
    message: Annotated[ChunkMessage, Query()], request: Request, services: Wired, intake: Intake, fence: Held
) -> CommitAnswer:
    """Nobody but the gateway writes results, and it writes only what can be committed as the rows are (ADR 25)."""
    claim = _chunk_claim(message, _length(request))
    expected = await services.segments.expect(fence, claim)
    if expected.committed is None:
        await intake.take(request, fence, claim, expected.key)
    committed = await services.segments.commit(fence, claim)
    if committed.is_new:
        CHUNKS_COMMITTED.inc()
        for end in ("ok", "decode_error", "model_error"):
            FRAMES_COMMITTED.labels(end).inc(getattr(message, end))
    return CommitAnswer(next_sample=committed.next_sample)


@router.post("/finish", status_code=204)
async def finish(request: FinishRequest, services: Wired, fence: Held) -> None:
    warnings = tuple(JobWarning(warning.code, warning.message) for warning in request.warnings)
    await services.segments.finish(fence, request.end_sample, warnings)
    await services.wakeup.wake(fence.job_id)


@router.post("/report", status_code=204)
async def report(request: ReportRequest, services: Wired, fence: Held) -> None:
    await services.segments.report(fence, Problem(ErrorCode(request.code.value), request.message))
    await services.wakeup.wake(fence.job_id)


async def _frame_cost(services: Services, pipeline_digest: str) -> float:
    """Seconds; an estimate for which no job shall wait."""
    try:
        measured = await services.planning.seconds_per_sample(pipeline_digest)
    except PortError as error:
        _log.warning("what a frame costs cannot be told", error=str(error))
        measured = None
    return measured or services.parallel.frame_cost_s


def _chunk_claim(message: ChunkMessage, size: int) -> ChunkClaim:
    tally = Tally(message.ok, message.decode_error, message.model_error)
    text = TextCounts(message.lines_read, message.lines_reused)
    return ChunkClaim(message.first_sample, tally, size, message.sha256, text)


def _length(request: Request) -> int:
    """What the request says of its body, which the server holds it to. Raises `DomainError` where it says nothing."""
    said = request.headers.get("content-length", "")
    if not said.isdigit() or int(said) == 0:
        raise DomainError(
            Problem(ErrorCode.INVALID_REQUEST, "A chunk has bytes, and a Content-Length that counts them.")
        )
    return int(said)


async def _segment_claim(services: Services, claimed: Claimed) -> SegmentClaim:
    terms, fence = claimed.terms, claimed.fence
    return SegmentClaim(
        session_token=services.tokens.session_token(fence),
        job_id=fence.job_id,
        segment=fence.segment,
        epoch=fence.epoch,
        next_sample=claimed.next_sample,
        window_end=claimed.window_end,
        expected_samples=claimed.expected_samples,
        in_decoder_order=claimed.in_decoder_order,
        planned=claimed.planned,
        lease_s=claimed.lease_s,
        frame_stride=terms.sampling.stride,
        max_frames=terms.sampling.max_frames,
        chunk_frames=terms.chunk_frames,
        container=terms.container,
        pipeline=await services.reader.pipeline(terms.pipeline_digest),
    )

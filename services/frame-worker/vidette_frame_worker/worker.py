"""The worker's loop: claim a segment, work on it, claim the next, until nothing is unfinished. Its end is an exit code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import structlog

from vidette_core.domain.containers import Container
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.planning import STRETCH_CHUNKS
from vidette_core.domain.sampling import Sampling
from vidette_core.domain.worker_api import (
    ClaimBusy,
    ClaimOver,
    FinishRequest,
    PlanRequest,
    ReportRequest,
    SegmentClaim,
    WarningMessage,
    WorkerExit,
    WorkerProblem,
)
from vidette_core.ports.errors import Conflict, PortError, Rejected, Unavailable
from vidette_core.ports.inference import Inference
from vidette_core.telemetry.logs import job_in_logs
from vidette_core.telemetry.tracing import JOB_ID, Attributes, Kind, span
from vidette_frame_worker.analysis import FrameAnalyser, PipelineBroken
from vidette_frame_worker.gateway import Gateway, Session
from vidette_frame_worker.lease import Lease
from vidette_frame_worker.segment import Pace, run_segment
from vidette_frame_worker.settings import WorkerSettings
from vidette_frame_worker.video import (
    DecodedFrame,
    IndexDisagrees,
    Limits,
    RangePolicy,
    RangeReader,
    Video,
    VideoError,
    invalid_video,
)

LONGEST_WAIT_S = 15.0
"""Between two claims while others hold all that is unfinished: they may take hours, and each claim wakes the controller."""
REPLAN_PAUSE_S = 2.0
_log = structlog.get_logger(__name__)


class PlanDoesNotHold(Exception):
    """The windows were planned by another index than the one that is read now: only the decoder can tell."""


@dataclass(frozen=True, slots=True)
class End:
    """How a worker ended: for the launcher's policy, and in a sentence for whoever looks at its pod."""

    code: WorkerExit
    sentence: str


class Worker:
    def __init__(self, gateway: Gateway, inference: Inference, settings: WorkerSettings, limits: Limits) -> None:
        self._gateway = gateway
        self._inference = inference
        self._settings = settings
        self._limits = limits
        self._session: Session | None = None

    def run(self) -> End:
        """Until the job needs no more workers, or this one cannot go on."""
        try:
            wait_s = 0.0
            while True:
                answer = self._gateway.claim(self._settings.pod_name).answer
                match answer:
                    case ClaimOver():
                        return End(WorkerExit.DONE, "Nothing of the job is left to do.")
                    case ClaimBusy():
                        wait_s = min(max(2 * wait_s, answer.retry_after_s), LONGEST_WAIT_S)
                        time.sleep(wait_s)
                    case SegmentClaim():
                        wait_s = 0.0
                        problem = self._work(answer)
                        if problem is not None:
                            return End(WorkerExit.BAD_INPUT, f"{problem.code.value}: {problem.message}")
        except Unavailable as error:
            _log.error("something the worker needs stayed away", error=str(error))
            return End(WorkerExit.TRY_AGAIN, f"Something the worker needs stayed away: {error}")
        except Rejected as error:
            _log.error("this worker was refused", error=str(error))
            return End(WorkerExit.FAILED, f"The gateway refused this worker: {error}")
        except PortError as error:
            _log.warning("this worker cannot go on", error=str(error))
            return End(WorkerExit.TRY_AGAIN, f"This worker cannot go on: {error}")

    def give_up(self, error: VideoError) -> End:
        """Called by another thread than the one that works, which the decoder does not let go of."""
        assert self._session is not None, "a video is only decoded for a segment that is held"
        try:
            problem = self._report(self._session, error.problem)
        except PortError as refusal:
            return End(WorkerExit.TRY_AGAIN, f"What is wrong with the video could not be told: {refusal}")
        return End(WorkerExit.BAD_INPUT, f"{problem.code.value}: {problem.message}")

    def _work(self, claim: SegmentClaim) -> Problem | None:
        """Work on the segment to its end. The problem, when one was met and reported that no worker can overcome."""
        session = self._session = self._gateway.session(claim)
        about: Attributes = {JOB_ID: str(claim.job_id), "vidette.segment": claim.segment, "vidette.epoch": claim.epoch}
        with (
            job_in_logs(claim.job_id, segment=claim.segment, epoch=claim.epoch),
            span("analyse segment", Kind.CONSUMER, attributes=about) as made,
        ):
            _log.info("claimed", next_sample=claim.next_sample)
            problem = self._hold(claim, session)
            if problem is not None:
                made.fail(problem.code.value)
        return problem

    def _hold(self, claim: SegmentClaim, session: Session) -> Problem | None:
        with Lease(session.renew, claim.lease_s, claim.next_sample) as lease:
            try:
                self._analyse(claim, session, lease)
            except (PlanDoesNotHold, IndexDisagrees) as error:
                _log.warning("only the decoder can count this video", reason=str(error))
                self._replan(session)
            except VideoError as error:
                return self._report(session, error.problem)
            except PipelineBroken as error:
                _log.error("the pipeline does not work", error=str(error))
                return self._report(session, Problem(ErrorCode.PIPELINE_UNAVAILABLE, error.message))
        return None

    def _replan(self, session: Session) -> None:
        try:
            session.replan()
        except Conflict:
            # Another worker said so first, or our answer was lost: all claim anew, and not at once.
            time.sleep(REPLAN_PAUSE_S)

    def _analyse(self, claim: SegmentClaim, session: Session, lease: Lease) -> None:
        policy = RangePolicy(total_timeout=self._settings.patience_s)
        with closing(RangeReader(session.source_url, policy)) as source:
            video = Video(source, Container(claim.container), self._limits)
            self._analyse_video(video, claim, session, lease)

    def _analyse_video(self, video: Video, claim: SegmentClaim, session: Session, lease: Lease) -> None:
        window_end = claim.window_end if claim.planned else session.plan(_plan_of(video))
        sampling = Sampling(claim.frame_stride, claim.max_frames)
        if claim.expected_samples not in (None, max(1, sampling.count(video.index.frame_count))):
            raise PlanDoesNotHold("the video's index was read differently when it was planned")
        end = run_segment(
            _frames(video, claim, window_end),
            claim.next_sample,
            claim.chunk_frames,
            FrameAnalyser(claim.pipeline, self._inference, self._settings.patience_s),
            session.commit,
            lease,
            Pace(self._settings.decoded_ahead, self._settings.in_flight),
            text_reuse=self._settings.text_reuse,
        )
        if window_end is not None and end != window_end:
            raise PlanDoesNotHold(f"the segment was planned to end at sample {window_end}, and ends at {end}")
        if end == 0:
            raise invalid_video("The video has no frame. Check that the file plays, and send it again.")
        warnings = tuple(WarningMessage(code="truncated", message=warning.message) for warning in video.warnings)
        session.finish(FinishRequest(end_sample=end, warnings=warnings))
        _log.info("finished", samples=end)

    def _report(self, session: Session, problem: Problem) -> Problem:
        _log.warning("the job cannot succeed", code=problem.code.value, message=problem.message)
        session.report(ReportRequest(code=WorkerProblem(problem.code.value), message=problem.message))
        return problem


def _frames(video: Video, claim: SegmentClaim, window_end: int | None) -> Iterator[DecodedFrame]:
    """Those of the segment that are not committed yet."""
    return video.frames(
        Sampling(claim.frame_stride, claim.max_frames),
        claim.next_sample,
        window_end,
        stretch=STRETCH_CHUNKS * claim.chunk_frames,
        in_decoder_order=claim.in_decoder_order,
    )


def _plan_of(video: Video) -> PlanRequest:
    index = video.index
    return PlanRequest(
        width=index.width,
        height=index.height,
        frames=index.frame_count,
        duration_ms=index.duration_ms,
        has_increasing_timestamps=index.has_increasing_timestamps,
    )

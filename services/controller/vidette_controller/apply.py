"""Carry out what was planned, each action fenced: it changes nothing when the world has moved on since."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from vidette_controller import telling
from vidette_controller.actions import (
    Action,
    CreateJob,
    DeleteJob,
    FailJob,
    FinishJob,
    GrowJob,
    NextAttempt,
    ReleaseSegments,
)
from vidette_controller.diagnose import refusal
from vidette_controller.findings import EXPLANATIONS
from vidette_controller.launch import Template, launch_of, spec_of
from vidette_controller.refused import RefusedLaunches
from vidette_controller.starting import never_started
from vidette_core.domain.ledger import verdict
from vidette_core.ports.errors import Conflict, NotFound, PortError, Rejected
from vidette_core.ports.jobs import Schedule, WorkerCaps
from vidette_core.ports.launcher import Launcher
from vidette_core.telemetry.logs import job_in_logs
from vidette_core.telemetry.metrics import ACTIONS, DIAGNOSES, JOBS_ENDED
from vidette_core.telemetry.tracing import JOB_ID, Attributes, Kind, current_traceparent, span
from vidette_core.tokens import Tokens

AT_ONCE = 8
"""Jobs acted for at the same time: an action mostly waits for the launcher and PostgreSQL. Those that need no launcher do not
wait for those that do: a video that is completed is told so while the API server is silent."""
_ROWS_ONLY = (FinishJob, FailJob, ReleaseSegments)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Done:
    """What came of a round's actions so far, over all jobs."""

    actions: list[Action]
    tellings: list[telling.Telling]
    troubles: list[PortError]


class _NotNow(Exception):
    """Nothing was done, and doing it at once again would not help; the text is for the log, if there is any."""


class Applier:
    def __init__(
        self,
        schedule: Schedule,
        launcher: Launcher,
        tokens: Tokens,
        template: Template,
        tolerated_error_share: float,
        worker_caps: WorkerCaps,
        refused_patience_s: float = 600.0,
    ) -> None:
        self._schedule = schedule
        self._launcher = launcher
        self._tokens = tokens
        self._template = template
        self._tolerated_error_share = tolerated_error_share
        self._worker_caps = worker_caps
        self._refused = RefusedLaunches(refused_patience_s)
        self._refused_patience = timedelta(seconds=refused_patience_s)
        self._launcher_turns = asyncio.Semaphore(AT_ONCE)
        self._row_turns = asyncio.Semaphore(AT_ONCE)

    async def apply(self, actions: Sequence[Action]) -> list[Action]:
        """Carry out all that can be, and return those; or raise the first trouble met. The next round plans the rest again.

        Those of one job come in their order; jobs do not wait for each other, beyond `AT_ONCE`.
        """
        of_job: dict[UUID, list[Action]] = {}
        for action in actions:
            of_job.setdefault(action.job_id, []).append(action)
        self._refused.keep({action.job_id for action in actions if isinstance(action, CreateJob)})
        done = _Done([], [], [])
        async with asyncio.TaskGroup() as tasks:
            for own in of_job.values():
                tasks.create_task(self._apply_in_turn(own, done))
        await telling.tell(self._launcher, done.tellings)
        if done.troubles:
            raise done.troubles[0]
        return done.actions

    async def _apply_in_turn(self, actions: Sequence[Action], done: _Done) -> None:
        for action in actions:
            async with self._row_turns if isinstance(action, _ROWS_ONLY) else self._launcher_turns:
                with job_in_logs(action.job_id):
                    try:
                        news = await self._apply(action)
                    except _NotNow as reason:
                        if reason.args:
                            _log.info(str(reason))
                        continue
                    except PortError as error:
                        # One job's trouble must not keep the others waiting.
                        _log.warning("an action failed", action=type(action).__name__, error=str(error))
                        done.troubles.append(error)
                        continue
            ACTIONS.labels(type(action).__name__).inc()
            done.actions.append(action)
            done.tellings.extend([news] if news is not None else [])

    async def _apply(self, action: Action) -> telling.Telling | None:
        """What there is to tell, once it is done."""
        match action:
            case CreateJob():
                return await self._create_or_wait(action)
            case NextAttempt():
                return await self._next_attempt(action)
            case ReleaseSegments():
                await self._schedule.release(action.job_id, action.attempt, action.pods, action.blameless)
                _log.info("pods ended, their segments are free", pods=action.pods)
            case GrowJob():
                await self._grow(action)
            case FinishJob():
                return await self._finish(action)
            case FailJob():
                return await self._fail(action)
            case DeleteJob():
                await self._delete(action)
        return None

    async def _create_or_wait(self, action: CreateJob) -> telling.Telling | None:
        if not self._refused.may_try(action.job_id, action.attempt, time.monotonic()):
            raise _NotNow
        try:
            news = await self._create(action)
        except (Rejected, Conflict) as error:
            finding = refusal(str(error))
            _log.warning("the launch is refused", finding=finding.value, name=action.name, error=str(error))
            DIAGNOSES.labels(finding.value).inc()
            if not self._refused.was_refused(action.job_id, action.attempt, time.monotonic()):
                raise _NotNow from None
            problem = never_started("be launched", self._refused_patience, EXPLANATIONS[finding].cause)
            return await self._fail(FailJob(action.job_id, action.attempt, problem, action.name, None))
        self._refused.forget(action.job_id)
        return news

    async def _create(self, action: CreateJob) -> telling.Telling | None:
        about: Attributes = {JOB_ID: str(action.job_id), "vidette.attempt": action.attempt}
        with span("launch attempt", Kind.PRODUCER, parent=action.traceparent, attributes=about):
            return await self._launch(action)

    async def _launch(self, action: CreateJob) -> telling.Telling | None:
        spec = spec_of(
            self._template,
            self._tokens,
            action.job_id,
            action.attempt,
            action.begun,
            action.pipeline_id,
            more_memory=action.more_memory,
            traceparent=current_traceparent(),
        )
        try:
            launched = await self._launcher.create(spec)
        except Conflict:
            # An earlier try, ours or another controller's, whose uid did not reach the row. A changed template after an
            # upgrade is not a foreign job: job and attempt decide.
            launched = await self._launcher.get(action.name)
            if (launched.job_id, launched.attempt) != (action.job_id, action.attempt):
                raise Conflict(f"the name {action.name} is taken by a job that is not ours") from None
            if launched.spec_hash != spec.spec_hash:
                _log.info("launched earlier, from another template", name=launched.name)
        if not await self._schedule.record_uid(action.job_id, action.attempt, launched.uid):
            return None
        _log.info("launched", name=launched.name, uid=launched.uid)
        return telling.launched(launched)

    async def _grow(self, action: GrowJob) -> None:
        """The row first: what it gives is kept to by whoever comes next, should this controller die before the launcher knows."""
        given = await self._schedule.grow(action.job_id, action.attempt, action.wanted, self._worker_caps)
        if given <= action.has:
            raise _NotNow
        try:
            await self._launcher.grow(action.name, action.uid, given)
        except (Conflict, NotFound, Rejected) as error:  # somebody was quicker, it has just ended, or it is not allowed
            raise _NotNow(str(error)) from None
        _log.info("more workers", name=action.name, workers=given, wanted=action.wanted)

    async def _next_attempt(self, action: NextAttempt) -> telling.Telling | None:
        if not await self._is_still_so(action):
            raise _NotNow("the list of launched jobs was old; a newer one is waited for")
        launch = launch_of(self._template, action.job_id, action.attempt + 1)
        if not await self._schedule.next_attempt(
            action.job_id, action.attempt, launch, blame=action.blame, more_memory=action.more_memory
        ):
            return None
        _log.warning("the attempt is replaced", reason=action.reason, attempt=action.attempt)
        return telling.replaced(action)

    async def _is_still_so(self, action: NextAttempt) -> bool:
        """Whether a live look confirms what the planner saw. What is gone, or is another's by now, cannot go on in any case."""
        try:
            there = await self._launcher.get(action.name)
        except (NotFound, Conflict):
            return True
        if there.uid != action.uid:
            return True
        return action.seen is not None and action.seen.phase is there.phase

    async def _finish(self, action: FinishJob) -> telling.Telling | None:
        share = self._tolerated_error_share
        outcome = await self._schedule.finish(action.job_id, lambda balance: verdict(balance, share))
        if outcome is None:
            return None
        JOBS_ENDED.labels(outcome).inc()
        _log.info("the job ended", outcome=outcome)
        return telling.finished(action.name, action.uid, outcome)

    async def _fail(self, action: FailJob) -> telling.Telling | None:
        if not await self._schedule.fail(action.job_id, action.attempt, action.problem):
            return None
        JOBS_ENDED.labels(action.problem.code.value).inc()
        _log.warning("the job failed", code=action.problem.code.value, message=action.problem.message)
        return telling.failed(action)

    async def _delete(self, action: DeleteJob) -> None:
        try:
            await self._launcher.delete(action.name, action.uid)
        except Conflict:
            _log.info("the name belongs to a newer launched job", name=action.name)

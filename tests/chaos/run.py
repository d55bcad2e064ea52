"""One episode from its start to the evidence: a fresh stack, fault-free results, the schedule, calm, and what is left then."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from tests.chaos import snapshot
from tests.chaos.clients import Crowd
from tests.chaos.evidence import ChunkRow, Evidence, JobRecord, Outcome, SegmentRow
from tests.chaos.faults import Saboteur
from tests.chaos.films import FILMS
from tests.chaos.history import History, What, read
from tests.chaos.place import SETTLE_S, Place, place
from tests.chaos.reference import Reference
from tests.chaos.schedule import Abort, Action, Cancel, Fault, Rubbish, Schedule, Submit, Target, save
from tests.support.processes import stack_processes
from vidette.errors import VidetteError
from vidette_local.control import NoAnswer
from vidette_local.settings import PartName

CLIENTS, FAULTS = 24, 8
"""At once, at most."""
FAULTS_END_S, PARTS_READY_S, JOBS_END_S, SWEPT_S = 90.0, 120.0, 480.0, SETTLE_S + 240.0
_CLIENTS_END_S = 60.0
HEALED_S = 60.0
"""How long a fault waits at most until all parts are ready."""


def run_episode(schedule: Schedule, folder: Path, reference: Reference) -> Evidence:
    """Everything of it is left in `folder`: schedule, history, evidence, the stack's state and logs."""
    folder.mkdir(parents=True)
    save(schedule, folder / "schedule.json")
    with History(folder / "history.jsonl") as history:
        with place(folder) as there:
            episode = _Episode(schedule, folder, there, history)
            history.note(What.PHASE, name="fault-free results")
            expected = reference.of(schedule.works, episode.films, there.direct)
            earlier = {job.id for job in snapshot.rows(there).jobs}
            episode.happen()
            episode.settle()
            left = _left(there, history, earlier, folder)
        survivors = tuple(str(pid) for pid in stack_processes(there.home.path))
    events = tuple(read(folder / "history.jsonl"))
    facts = {field.name: getattr(left, field.name) for field in fields(left)}
    evidence = Evidence(events=events, expected=expected, survivors=survivors, **facts)
    evidence.save(folder / "evidence.json")
    return evidence


@dataclass(frozen=True, slots=True)
class _Left:
    """The part of the evidence that is read at the end."""

    jobs: tuple[JobRecord, ...]
    segments: tuple[SegmentRow, ...]
    chunks: tuple[ChunkRow, ...]
    objects: dict[str, int]
    uploads: tuple[str, ...]
    launched: tuple[str, ...]
    processes: tuple[str, ...]
    outcries: tuple[str, ...]
    calm: dict[str, Outcome]


class _Episode:
    def __init__(self, schedule: Schedule, folder: Path, there: Place, history: History) -> None:
        self.films = _films(schedule, folder / "films")
        self._schedule = schedule
        self._place = there
        self._history = history
        self._crowd = Crowd(there.url, self.films, history)
        self._saboteur = Saboteur(there, history, folder)
        self._seen: dict[str, str] = {}

    def happen(self) -> None:
        """Every action at its time; returns when all faults are over and all clients have gone."""
        self._history.begin()
        self._history.note(What.PHASE, name="faults")
        with ThreadPoolExecutor(CLIENTS) as clients, ThreadPoolExecutor(FAULTS) as faults:
            try:
                sent, struck = self._begin_all(clients, faults)
                self._wait("the faults are over", lambda: all(one.done() for one in struck), FAULTS_END_S)
                self._history.note(What.PHASE, name="calm")
                self._wait("all parts are ready", self._parts_ready, PARTS_READY_S)
                self._wait("all jobs have ended", self._jobs_ended, JOBS_END_S)
                self._wait("all clients have gone", lambda: all(one.done() for one in sent), _CLIENTS_END_S)
            finally:
                self._crowd.over.set()

    def _begin_all(self, clients: Executor, faults: Executor) -> tuple[list[Future[None]], list[Future[None]]]:
        """Clients and faults, each begun at its time."""
        sent: list[Future[None]] = []
        struck: list[Future[None]] = []
        late = 0.0
        for action in self._schedule.actions:
            time.sleep(max(0.0, action.at + late - self._history.now))
            if not isinstance(action, Fault):
                sent.append(clients.submit(self._carry_out, action))
                continue
            began = time.monotonic()
            if not action.hasty:
                self._heal()
            struck.append(faults.submit(self._carry_out, action))
            if action.target is Target.STACK:  # there is nothing to strike until it is back
                struck[-1].result()
            late += time.monotonic() - began
        return sent, struck

    def settle(self) -> None:
        """No more clients: what is left over is swept."""
        self._wait("every ended job is swept", self._all_swept, SWEPT_S)
        self._wait("no worker runs", lambda: not snapshot.needless_processes(self._place), 30.0)

    def _carry_out(self, action: Action) -> None:
        try:
            match action:
                case Fault():
                    self._saboteur.strike(action)
                case Submit():
                    self._crowd.submit(action)
                case Cancel():
                    self._crowd.cancel(action)
                case Abort():
                    self._crowd.abort(action)
                case Rubbish():
                    self._crowd.rubbish(action)
        except Exception as error:  # of whatever kind: the others go on, and the checker hears of it
            self._history.note(What.BROKEN, doing=str(action), error=f"{type(error).__name__}: {error}"[:400])

    def _wait(self, what: str, condition: Callable[[], bool], limit_s: float) -> None:
        """Until the condition holds, or the limit is over, which is noted."""
        deadline = time.monotonic() + limit_s
        while True:
            try:
                if condition():
                    return
                why = "not yet"
            except Exception as error:  # it may be starting
                why = f"{type(error).__name__}: {error}"
            if time.monotonic() > deadline:
                self._history.note(What.UNSETTLED, waited_for=what, seconds=limit_s, last=why)
                return
            time.sleep(0.5)

    def _heal(self) -> None:
        """Wait until all parts are ready, for some time."""
        deadline = time.monotonic() + HEALED_S
        while time.monotonic() < deadline:
            with suppress(NoAnswer):
                if self._parts_ready():
                    return
            time.sleep(0.2)

    def _parts_ready(self) -> bool:
        parts = {line["name"]: line["state"] for line in self._place.stack.ps()}
        if parts != self._seen:
            self._history.note(What.PROCESSES, parts=parts)
            self._seen = parts
        return self._seen.keys() >= set(PartName) and all(parts[name] == "ready" for name in PartName)

    def _jobs_ended(self) -> bool:
        return all(job.state in ("completed", "failed") for job in snapshot.rows(self._place).jobs)

    def _all_swept(self) -> bool:
        return all(job.swept for job in snapshot.rows(self._place).jobs)


def _films(schedule: Schedule, folder: Path) -> dict[str, Path]:
    """Those that the schedule needs, and the one that rubbish is made of."""
    folder.mkdir()
    needed = {work.film for work in schedule.works} | {"short"}
    needed |= {action.film for action in schedule.actions if isinstance(action, Abort)}
    return {name: FILMS[name].write(folder, name) for name in sorted(needed)}


def _left(there: Place, history: History, earlier: Collection[str], folder: Path) -> _Left:
    """All but the events. What was there before the first fault does not count."""
    rows = snapshot.rows(there)
    jobs = tuple(job for job in rows.jobs if job.id not in earlier)
    objects = snapshot.objects(there)
    calm: dict[str, Outcome] = {}
    for job in jobs:
        if job.submitted and job.state in ("completed", "failed"):
            try:
                calm |= snapshot.outcomes(there.direct, [job.id])
            except VidetteError as error:
                history.note(
                    What.TROUBLE,
                    job=job.id,
                    doing="calm",
                    status=error.status_code,
                    code=str(error.code),
                    detail=error.detail,
                )
    return _Left(
        jobs=jobs,
        segments=tuple(row for row in rows.segments if row.job not in earlier),
        chunks=tuple(row for row in rows.chunks if row.job not in earlier),
        objects={key: size for key, size in objects.items() if not any(job in key for job in earlier)},
        uploads=snapshot.uploads(there),
        launched=snapshot.at_work(there),
        processes=snapshot.needless_processes(there),
        outcries=snapshot.outcries(there, folder),
        calm=calm,
    )

"""Tells what is the matter with launched jobs, once for each thing: in the log, in a metric, and on the Job for `kubectl`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime

import structlog

from vidette_controller.diagnose import Diagnosis, diagnose
from vidette_controller.findings import Finding, Severity
from vidette_core.ports.launcher import LaunchedJob, Launcher, Note
from vidette_core.telemetry.logs import job_in_logs
from vidette_core.telemetry.metrics import DIAGNOSES

_log = structlog.get_logger(__name__)
_MOST_AT_ONCE = 20
"""Notes written in one round; with thousands of jobs that cannot start, the others are told in the next rounds."""
_MOST_SENTENCE = 1024


def reason_of(finding: Finding) -> str:
    """`out_of_memory` becomes the reason `OutOfMemory`, as Events have it."""
    return "".join(word.capitalize() for word in finding.value.split("_"))


def note_of(diagnosis: Diagnosis) -> Note:
    sentence = f"{diagnosis.sentence} {diagnosis.remedy}"
    if len(sentence) > _MOST_SENTENCE:
        sentence = diagnosis.sentence[: _MOST_SENTENCE - len(diagnosis.remedy) - 2] + "… " + diagnosis.remedy
    return Note(reason_of(diagnosis.finding), sentence, warning=diagnosis.severity is Severity.WARNING)


def _told_as(diagnosis: Diagnosis) -> tuple[Finding, str]:
    return diagnosis.finding, diagnosis.about


class Explainer:
    """Remembers what it has told of the launched jobs that are there; a controller that starts anew tells it again."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._told: dict[str, set[tuple[Finding, str]]] = {}
        for finding in Finding:  # as 0: Prometheus sees no increase in what begins at 1
            DIAGNOSES.labels(finding.value)

    async def explain(self, launched: Iterable[LaunchedJob], now: datetime) -> None:
        """Raises nothing. `now` is the database's time."""
        there = [job for job in launched if not job.retired]
        self._told = {job.uid: self._told.get(job.uid, set()) for job in there}
        found = ((job, diagnosis) for job in there if (diagnosis := diagnose(job, now)) is not None)
        news = [(job, diagnosis) for job, diagnosis in found if _told_as(diagnosis) not in self._told[job.uid]]
        await asyncio.gather(*(self._tell(job, diagnosis) for job, diagnosis in news[:_MOST_AT_ONCE]))

    async def _tell(self, job: LaunchedJob, diagnosis: Diagnosis) -> None:
        self._told[job.uid].add(_told_as(diagnosis))
        DIAGNOSES.labels(diagnosis.finding.value).inc()
        with job_in_logs(job.job_id):
            write = _log.warning if diagnosis.severity is Severity.WARNING else _log.info
            write(diagnosis.sentence, finding=diagnosis.finding.value, remedy=diagnosis.remedy, launched=job.name)
        await self._launcher.tell(job.name, job.uid, note_of(diagnosis))

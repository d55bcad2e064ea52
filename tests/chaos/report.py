"""What came of an episode, in plain words and in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.checker import Violation
from tests.chaos.evidence import Evidence
from tests.chaos.history import What
from tests.chaos.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Result:
    """`struck` counts the faults that struck somebody, `missed` those whose victim was not there."""

    schedule: Schedule
    folder: Path
    violations: tuple[Violation, ...]
    struck: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def result_of(schedule: Schedule, folder: Path, evidence: Evidence, violations: tuple[Violation, ...]) -> Result:
    faults = list(evidence.of(What.FAULT))
    jobs = (job for job in evidence.jobs if job.submitted)
    refused = evidence.of(What.REFUSED, What.TROUBLE, What.NOT_CANCELLED)
    return Result(
        schedule,
        folder,
        violations,
        struck=Counter(event["name"] for event in faults if event["met"]),
        missed=sum(not event["met"] for event in faults),
        sent=Counter(event["kind"] for event in evidence.of(What.SENT)),
        ended=Counter(f"{job.state} {job.code}".strip() for job in jobs),
        told=Counter(f"{event['status'] or 'no answer'} {event['code']}" for event in refused),
        seconds=max((event.at for event in evidence.events), default=0.0),
    )


def in_words(result: Result) -> str:
    return "\n".join(_lines(result)) + "\n"


def _lines(result: Result) -> Iterator[str]:
    schedule = result.schedule
    faults = result.struck.total()
    yield f"seed {schedule.seed}, episode {schedule.episode}: {faults} faults in {result.seconds:.0f} s, {_verdict(result)}"
    yield f"  faults     {_counted(result.struck)}; {result.missed} met nobody"
    yield f"  sent       {_counted(result.sent)}"
    yield f"  jobs       {_counted(result.ended)}"
    yield f"  clients were told  {_counted(result.told)}"
    for violation in result.violations:
        yield f"  VIOLATION  {violation}"
    if result.violations:
        yield f"  again      make chaos REPLAY={result.folder / 'schedule.json'}"
        yield f"  smaller    make chaos SHRINK={result.folder / 'schedule.json'}"


def summary(results: Sequence[Result]) -> str:
    """Of a whole run."""
    faults, jobs = sum((one.struck for one in results), Counter()), sum((one.ended for one in results), Counter())
    wrong = sum(len(one.violations) for one in results)
    lines = [
        f"{len(results)} episodes, {faults.total()} faults, {jobs.total()} jobs, {wrong} violations",
        f"  faults     {_counted(faults)}",
        f"  jobs       {_counted(jobs)}",
    ]
    return "\n".join(lines) + "\n"


def _verdict(result: Result) -> str:
    return f"{len(result.violations)} VIOLATIONS" if result.violations else "all is well"


def _counted(counter: Counter[str]) -> str:
    most_first = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in most_first) or "none"

"""The checker of a chaos run: one in which all went well has nothing wrong, each way of going wrong breaks the rule for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.checker import RULES, check
from tests.chaos.evidence import ChunkRow, Evidence, JobRecord, Outcome, SegmentRow, load
from tests.chaos.history import Event, History, What
from tests.chaos.snapshot import unforeseen

DONE = Outcome("completed", rows=6, digest="d1")
BAD = Outcome("failed", "invalid_video")
ANALYSED, REFUSED, UNTOLD, CANCELLED, BROKEN = (f"{number}" * 8 for number in range(1, 6))
"""Jobs: one that went well, one whose video is none, one whose client was told nothing, one cancelled, an upload that broke."""


def event(at: float, what: What, **facts: Any) -> Event:
    return Event(at, 1000.0 + at, what, facts)


def sent(at: float, number: int, work: str, kind: str = "submit") -> Event:
    return event(at, What.SENT, number=number, kind=kind, work=work, max_workers=2, bytes=500)


def accepted(at: float, number: int, job: str, kind: str = "submit") -> Event:
    return event(at, What.ACCEPTED, number=number, kind=kind, job=job)


def refused(at: float, number: int, status: int | None, code: str, kind: str = "submit", **more: Any) -> Event:
    return event(at, What.REFUSED, number=number, kind=kind, status=status, code=code, detail="", **more)


def fault(at: float, target: str = "worker", seconds: float = 0.0, met: str = "somebody") -> Event:
    return event(at, What.FAULT, name=f"kill {target}", target=target, seconds=seconds, met=met)


def status(at: float, job: str, state: str, code: str = "") -> Event:
    return event(at, What.STATUS, job=job, state=state, code=code, progress=1.0)


def record(job: str, created: float, state: str = "completed", code: str = "", **more: Any) -> JobRecord:
    made = JobRecord(
        id=job,
        state=state,
        submitted=True,
        created=1000.0 + created,
        finished=1000.0 + created + 5,
        swept=True,
        stride=1,
        max_frames=0,
        max_workers=2,
        code=code,
        message="Because." if code else "",
        frames=6 if state == "completed" else None,
        source_bytes=500,
    )
    return replace(made, **more)


def chunks(job: str) -> tuple[ChunkRow, ...]:
    return tuple(ChunkRow(job, first, size, 10 + first, f"results/{job}/{first}") for first, size in ((0, 4), (4, 2)))


GOOD = Evidence(
    events=(
        sent(1, 1, "plain/1/0"),
        accepted(2, 1, ANALYSED),
        fault(3),
        status(4, ANALYSED, "running"),
        event(5, What.TROUBLE, job=ANALYSED, doing="status", status=503, code="database_unavailable", retry_after=5.0),
        status(6, ANALYSED, "completed"),
        event(7, What.RESULTS, job=ANALYSED, rows=6, digest="d1"),
        sent(11, 2, "bad/1/0"),
        accepted(12, 2, REFUSED),
        sent(21, 3, "plain/1/0"),
        fault(21.5, "client-api", 3),
        refused(24, 3, None, "connection_lost"),
        sent(31, 4, "plain/1/0"),
        accepted(32, 4, CANCELLED),
        event(33, What.CANCELLING, job=CANCELLED, number=4),
        event(34, What.CANCELLED, job=CANCELLED, number=4),
        sent(41, 5, "", kind="abort"),
        refused(42, 5, None, "left", kind="abort"),
        sent(43, 6, "", kind="rubbish"),
        refused(44, 6, 400, "invalid_format", kind="rubbish"),
    ),
    expected={"plain/1/0": DONE, "bad/1/0": BAD},
    jobs=(
        record(ANALYSED, 1.5),
        record(REFUSED, 11.5, "failed", "invalid_video"),
        record(UNTOLD, 22),
        record(CANCELLED, 31.5, "failed", "cancelled"),
        record(BROKEN, 41.5, "failed", "upload_aborted", submitted=False, source_bytes=None),
    ),
    segments=tuple(
        segment
        for job in (ANALYSED, UNTOLD)
        for segment in (SegmentRow(job, 0, "done", 0, 4, 4), SegmentRow(job, 1, "done", 4, 6, 6))
    ),
    chunks=(*chunks(ANALYSED), *chunks(UNTOLD)),
    objects={
        "health/ready": 5,
        **{f"sources/{job}": 500 for job in (ANALYSED, REFUSED, UNTOLD, CANCELLED)},
        **{chunk.key: chunk.bytes for job in (ANALYSED, UNTOLD) for chunk in chunks(job)},
    },
    uploads=(),
    launched=(),
    processes=(),
    survivors=(),
    outcries=(),
    calm={
        ANALYSED: DONE,
        UNTOLD: DONE,
        REFUSED: BAD,
        CANCELLED: Outcome("failed", "cancelled"),
    },
)


def with_events(*events: Event) -> Evidence:
    return replace(GOOD, events=(*GOOD.events, *events))


def with_job(job_id: str, **changes: Any) -> Evidence:
    return replace(GOOD, jobs=tuple(replace(job, **changes) if job.id == job_id else job for job in GOOD.jobs))


def with_chunks(*found: ChunkRow) -> Evidence:
    return replace(GOOD, chunks=found, objects={**GOOD.objects, **{chunk.key: chunk.bytes for chunk in found}})


def failing_again_and_again(faults: int) -> Evidence:
    """A job that ended for want of workers that can work, after so many faults that can have been the cause."""
    job = record("9" * 8, 51.5, "failed", "no_progress", finished=1090.0)
    events = (sent(51, 9, "plain/1/0"), accepted(52, 9, job.id), *(fault(53 + number) for number in range(faults)))
    return replace(with_events(*events), jobs=(*GOOD.jobs, job), objects={**GOOD.objects, f"sources/{job.id}": 500})


def store_troubled(**facts: Any) -> Evidence:
    return with_events(event(5, What.TROUBLE, job=ANALYSED, doing="results", detail="", **facts))


WRONG: dict[str, list[Callable[[], Evidence]]] = {
    "every_job_ends": [
        lambda: with_job(ANALYSED, state="running"),
        lambda: with_job(BROKEN, state="uploading"),
        lambda: with_events(event(90, What.UNSETTLED, waited_for="all parts are ready")),
    ],
    "what_was_accepted_is_there": [
        lambda: replace(GOOD, jobs=GOOD.jobs[1:]),
        lambda: with_job(ANALYSED, submitted=False),
        lambda: with_events(accepted(44, 6, ANALYSED, kind="rubbish")),
    ],
    "what_is_there_was_sent": [
        lambda: replace(GOOD, jobs=(*GOOD.jobs, record("8" * 8, 22))),
        lambda: with_job(UNTOLD, created=1003.0),
        lambda: with_job(UNTOLD, stride=3),
        lambda: with_job(UNTOLD, source_bytes=501),
    ],
    "ledgers_are_exact": [
        lambda: with_job(ANALYSED, frames=7),
        lambda: with_chunks(*chunks(UNTOLD), chunks(ANALYSED)[1]),
        lambda: with_chunks(*chunks(UNTOLD), *chunks(ANALYSED), replace(chunks(ANALYSED)[1], frames=1)),
        lambda: replace(GOOD, segments=GOOD.segments[1:]),
        lambda: replace(GOOD, segments=(replace(GOOD.segments[0], state="open"), *GOOD.segments[1:])),
        lambda: replace(GOOD, segments=(replace(GOOD.segments[0], next=3), *GOOD.segments[1:])),
    ],
    "results_equal_the_fault_free_ones": [
        lambda: replace(GOOD, calm={**GOOD.calm, ANALYSED: replace(DONE, digest="d2")}),
        lambda: replace(GOOD, calm={**GOOD.calm, UNTOLD: replace(DONE, rows=5)}),
        lambda: replace(GOOD, calm={**GOOD.calm, ANALYSED: replace(DONE, warnings=("truncated",))}),
        lambda: replace(GOOD, expected={**GOOD.expected, "plain/1/0": BAD}),
        lambda: with_events(event(6, What.RESULTS, job=ANALYSED, rows=5, digest="d2")),
    ],
    "completed_jobs_can_be_read": [lambda: replace(GOOD, calm={REFUSED: BAD})],
    "failures_are_explained": [
        lambda: with_job(ANALYSED, state="failed", code="invalid_video", message="Because."),
        lambda: with_job(ANALYSED, state="failed", code="internal", message="The results do not account for …"),
        lambda: with_job(ANALYSED, state="failed", code="cancelled", message="Because."),
        lambda: with_job(ANALYSED, state="failed", code="", message=""),
        lambda: with_job(BROKEN, code="store_unavailable", created=1500.0, finished=1501.0),
        lambda: with_job(BROKEN, code="internal"),
        lambda: failing_again_and_again(faults=3),
    ],
    "kept_wishes": [lambda: with_job(CANCELLED, state="completed", code="")],
    "ends_are_final": [
        lambda: with_events(status(7, ANALYSED, "running")),
        lambda: with_events(status(8, ANALYSED, "failed", "internal")),
        lambda: with_job(ANALYSED, state="failed", code="cancelled"),
    ],
    "answers_say_what_to_do": [
        lambda: with_events(refused(50, 6, 500, "internal")),
        lambda: with_events(refused(50, 6, 502, "")),
        lambda: with_events(refused(50, 6, 400, "invalid_format")),
        lambda: store_troubled(status=404, code="not_found"),
        lambda: store_troubled(status=None, code="bad_answer"),
        lambda: store_troubled(status=503, code="store_unavailable"),
        lambda: store_troubled(status=503, code="", retry_after=5.0),
        lambda: with_events(
            event(50, What.NOT_CANCELLED, number=4, job=CANCELLED, status=404, code="not_found", detail="")
        ),
    ],
    "nothing_is_left_in_the_store": [
        lambda: replace(GOOD, objects={**GOOD.objects, f"sources/{BROKEN}": 500}),
        lambda: replace(GOOD, objects={**GOOD.objects, f"results/{ANALYSED}/0-e1": 7}),
        lambda: replace(GOOD, objects={**GOOD.objects, chunks(ANALYSED)[0].key: 9}),
        lambda: replace(GOOD, objects={key: size for key, size in GOOD.objects.items() if ANALYSED not in key}),
        lambda: replace(GOOD, uploads=(f"sources/{BROKEN}",)),
    ],
    "nothing_is_left_running": [
        lambda: replace(GOOD, launched=(f"vidette-{ANALYSED}-a1",)),
        lambda: replace(GOOD, processes=("77: python -m vidette_frame_worker",)),
        lambda: replace(GOOD, survivors=("78",)),
    ],
    "nothing_is_left_in_the_database": [
        lambda: replace(GOOD, segments=(*GOOD.segments, SegmentRow(BROKEN, 0, "open", 0, 0, None))),
        lambda: with_job(CANCELLED, swept=False),
    ],
    "services_foresee_what_happens": [lambda: replace(GOOD, outcries=("api: RuntimeError: the handler is closed",))],
    "the_run_itself_went_well": [lambda: with_events(event(50, What.BROKEN, doing="a fault", error="OSError"))],
}


def test_a_run_in_which_all_went_well_has_nothing_wrong() -> None:
    assert check(GOOD) == ()


def test_evidence_is_judged_from_its_files_as_it_was(tmp_path: Path) -> None:
    with History(tmp_path / "history.jsonl") as history:
        history.note(What.BROKEN, doing="a fault", error="OSError")
    GOOD.save(tmp_path / "evidence.json")
    read = load(tmp_path / "evidence.json", tmp_path / "history.jsonl")
    assert [(one.what, dict(one.facts)) for one in read.events] == [
        (What.BROKEN, {"doing": "a fault", "error": "OSError"})
    ]
    assert replace(read, events=GOOD.events) == GOOD


def test_an_unforeseen_error_is_told_from_what_is_only_logged() -> None:
    lines = [
        '{"event": "PostgreSQL is away", "level": "warning"}',
        '{"event": "a defect of Vidette met an upload", "level": "error"}',
        '{"event": "something the worker needs stayed away", "level": "error"}',
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in <module>',
        "    run()",
        "RuntimeError: the handler is closed",
        "INFO:     Started server process [1]",
    ]
    assert list(unforeseen(lines)) == [lines[1], lines[6]]


def test_there_is_a_wrong_run_for_every_rule() -> None:
    assert set(WRONG) == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize(("rule", "number"), [(rule, n) for rule, runs in WRONG.items() for n in range(len(runs))])
def test_what_is_wrong_breaks_the_rule_for_it(rule: str, number: int) -> None:
    found = check(WRONG[rule][number]())
    assert rule in {violation.rule for violation in found}
    assert all(violation.sentence for violation in found)


def test_as_many_faults_as_attempts_explain_a_job_that_was_given_up() -> None:
    assert check(failing_again_and_again(faults=5)) == ()


def test_a_fault_that_struck_nobody_explains_nothing() -> None:
    given_up = failing_again_and_again(faults=5)
    missed = [
        replace(one, facts={**one.facts, "met": ""}) if one.what is What.FAULT else one for one in given_up.events
    ]
    assert {violation.rule for violation in check(replace(given_up, events=tuple(missed)))} == {
        "failures_are_explained"
    }


def test_one_client_in_doubt_explains_one_job_and_no_second_one() -> None:
    twice = replace(GOOD, jobs=(*GOOD.jobs, record("8" * 8, 22.5)))
    assert "what_is_there_was_sent" in {violation.rule for violation in check(twice)}


@pytest.mark.parametrize(("status_code", "code"), [(400, "invalid_format"), (503, "store_unavailable")])
def test_a_client_that_was_refused_for_certain_is_in_no_doubt(status_code: int, code: str) -> None:
    events = tuple(
        refused(24, 3, status_code, code, retry_after=5.0) if one.what is What.REFUSED and one["number"] == 3 else one
        for one in GOOD.events
    )
    assert "what_is_there_was_sent" in {violation.rule for violation in check(replace(GOOD, events=events))}

"""What must hold when an episode is over, whatever happened in it. Pure: evidence in, sentences out.

Each rule stands by itself and names itself in its violations, so that shrinking can ask for the same one again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from tests.chaos.evidence import ChunkRow, Evidence, JobRecord, Outcome, SegmentRow
from tests.chaos.explaining import ever_asked_to_cancel, may_be_of_its_workers, upload_may_break
from tests.chaos.history import What

NOT_OURS = ("health/ready",)
"""Keys that belong to no job: the embedded store's own proof that it works."""


@dataclass(frozen=True, slots=True)
class Violation:
    rule: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.sentence}"


def every_job_ends(evidence: Evidence) -> Iterator[str]:
    for job in evidence.jobs:
        if job.state not in ("completed", "failed"):
            yield f"job {job.id} is {job.state} when all should be over"
    for event in evidence.of(What.UNSETTLED):
        yield f"waited in vain for {event['waited_for']}"


def what_was_accepted_is_there(evidence: Evidence) -> Iterator[str]:
    rows = {job.id: job for job in evidence.jobs}
    for event in evidence.of(What.ACCEPTED):
        job = rows.get(event["job"])
        if job is None or not job.submitted:
            yield f"job {event['job']} was accepted and is {'not in the database' if job is None else 'no job'}"
        if event["kind"] != "submit":
            yield f"submission {event['number']} ({event['kind']}) was accepted as job {event['job']}"


def what_is_there_was_sent(evidence: Evidence) -> Iterator[str]:
    """A job that nobody was told of is one whose client was told nothing, and there is one such client for each."""
    for job in evidence.jobs:
        if job.submitted and job.id not in evidence.senders:
            yield f"job {job.id} ({job.state}) was made at {job.created:.1f}, and nobody can have sent it"


def ledgers_are_exact(evidence: Evidence) -> Iterator[str]:
    """Of completed jobs: segments and chunks follow each other from sample 0 to the end, and the tally counts them."""
    for job in _completed(evidence):
        at = 0
        for segment in sorted((row for row in evidence.segments if row.job == job.id), key=lambda row: row.first):
            if (segment.state, segment.first, segment.next) != ("done", at, segment.end):
                yield f"job {job.id} is completed with {segment} where sample {at} is next"
            at = segment.end if segment.end is not None else segment.next
        count = 0
        for chunk in sorted((row for row in evidence.chunks if row.job == job.id), key=lambda row: row.first):
            if chunk.first != count or chunk.frames <= 0:
                yield f"job {job.id} is completed with a chunk at {chunk.first} where {count} is next"
            count = chunk.first + chunk.frames
        if not count == at == job.frames:
            yield f"job {job.id} is completed with {job.frames} frames, chunks up to {count} and segments up to {at}"


def results_equal_the_fault_free_ones(evidence: Evidence) -> Iterator[str]:
    """Those read when all was over, and those that clients read while it went on."""
    for job in _completed(evidence):
        sent, read = evidence.senders.get(job.id), evidence.calm.get(job.id)
        if sent is None or read is None:
            continue  # another rule's business
        if read != (wanted := evidence.expected[sent.work]):
            yield f"job {job.id} ({sent.work}) gave {_words(read)}, without faults {_words(wanted)}"
        if read.rows != job.frames:
            yield f"job {job.id} ({sent.work}) gave {read.rows} rows for {job.frames} frames"
    for event in evidence.of(What.RESULTS):
        sent = evidence.senders.get(event["job"])
        if sent is not None and event["digest"] != evidence.expected[sent.work].digest:
            yield f"job {event['job']} ({sent.work}) gave a client {event['rows']} other rows at {event.at:.1f} s"


def completed_jobs_can_be_read(evidence: Evidence) -> Iterator[str]:
    for job in _completed(evidence):
        if job.id not in evidence.calm or evidence.calm[job.id].state != "completed":
            yield f"job {job.id} is completed, and its client reads {evidence.calm.get(job.id)}"


def failures_are_explained(evidence: Evidence) -> Iterator[str]:
    for job in evidence.jobs:
        if job.state != "failed":
            continue
        if not job.code or not job.message:
            yield f"job {job.id} failed and does not say why ({job.code!r}, {job.message!r})"
        elif not _is_explained(evidence, job):
            yield f"job {job.id} failed with {job.code} ({job.message}), which nothing that was done explains"


def _is_explained(evidence: Evidence, job: JobRecord) -> bool:
    if not job.submitted:
        return upload_may_break(evidence, job)
    sent = evidence.senders.get(job.id)
    if sent is not None and evidence.expected[sent.work].code == job.code:
        return True
    if job.code == "cancelled":
        return ever_asked_to_cancel(evidence, job)
    return may_be_of_its_workers(evidence, job)


def kept_wishes(evidence: Evidence) -> Iterator[str]:
    """Whoever was told that a job shall end finds it ended so."""
    rows = {job.id: job for job in evidence.jobs}
    for event in evidence.of(What.CANCELLED):
        job = rows.get(event["job"])
        if job is not None and (job.state, job.code) != ("failed", "cancelled"):
            yield f"job {job.id} was to be cancelled, as its client was told, and is {job.state} {job.code}"


def ends_are_final(evidence: Evidence) -> Iterator[str]:
    """What a client has seen ended is so for good."""
    rows = {job.id: job for job in evidence.jobs}
    ended: dict[str, tuple[str, str]] = {}
    for event in evidence.of(What.STATUS):
        seen = event["state"], event["code"]
        before = ended.get(event["job"])
        if before is not None and seen != before:
            yield f"job {event['job']} was {' '.join(before)} and then {' '.join(seen)}"
        if seen[0] in ("completed", "failed"):
            ended[event["job"]] = seen
    for job_id, seen in ended.items():
        job = rows.get(job_id)
        if job is not None and (job.state, job.code) != seen:
            yield f"job {job_id} was {' '.join(seen)} to its client, and is {job.state} {job.code}"


def answers_say_what_to_do(evidence: Evidence) -> Iterator[str]:
    """No client meets a 500, or a 503 that does not say when to come again, or is refused what was right."""
    for event in evidence.of(What.REFUSED, What.TROUBLE, What.NOT_CANCELLED):
        status, code = event["status"], event["code"]
        told = f"{event.what} {event.facts.get('kind') or event.facts.get('doing') or ''}: {status} {code}"
        if (status is None and code != "bad_answer") or (status == 503 and code and event.facts.get("retry_after")):
            continue
        if status is None or status >= 500 or not code:
            yield f"a client was answered {told} ({event['detail']}) at {event.at:.1f} s"
        elif not _is_right(event.what, event.facts):
            yield f"a client was refused without a reason: {told} ({event['detail']}) at {event.at:.1f} s"


def _is_right(what: What, facts: Mapping[str, object]) -> bool:
    """Whether an answer of the 400s is what this client had to expect."""
    if what is What.NOT_CANCELLED:
        return facts["code"] == "job_over"
    if facts["status"] == 408:
        return True  # its way was slow or hung
    return what is What.REFUSED and facts["kind"] in ("rubbish", "abort")


def nothing_is_left_in_the_store(evidence: Evidence) -> Iterator[str]:
    """Every object is the video of a job or a chunk that a row names, every such thing is there, and no upload is open."""
    wanted = {f"sources/{job.id}": job.source_bytes for job in evidence.jobs if job.submitted}
    wanted |= {chunk.key: chunk.bytes for chunk in evidence.chunks}
    for key in sorted(evidence.objects.keys() - wanted.keys()):
        if key not in NOT_OURS:
            yield f"the object {key} belongs to nothing"
    for key, size in sorted(wanted.items()):
        if evidence.objects.get(key) != size:
            yield f"the object {key} has {evidence.objects.get(key)} bytes, its row says {size}"
    for key in evidence.uploads:
        yield f"the upload of {key} is still open"


def nothing_is_left_running(evidence: Evidence) -> Iterator[str]:
    for name in evidence.launched:
        yield f"the launched job {name} still runs"
    for process in evidence.processes:
        yield f"a process still runs: {process}"
    for process in evidence.survivors:
        yield f"a process has outlived the stack: {process}"


def nothing_is_left_in_the_database(evidence: Evidence) -> Iterator[str]:
    """No part of a job that is none, and every ended job was swept."""
    jobs = {job.id for job in evidence.jobs if job.submitted}
    parts: list[SegmentRow | ChunkRow] = [*evidence.segments, *evidence.chunks]
    for row in parts:
        if row.job not in jobs:
            yield f"{row} belongs to no job"
    for job in evidence.jobs:
        if job.state in ("completed", "failed") and not job.swept:
            yield f"job {job.id} ({job.state} {job.code}) was never swept"


def services_foresee_what_happens(evidence: Evidence) -> Iterator[str]:
    """Faults are warnings to them: an error, or a traceback, is a defect."""
    for line in evidence.outcries:
        yield f"a log tells of what nobody foresaw: {line}"


def the_run_itself_went_well(evidence: Evidence) -> Iterator[str]:
    for event in evidence.of(What.BROKEN):
        yield f"{event['doing']}: {event['error']} at {event.at:.1f} s"


Rule = Callable[[Evidence], Iterator[str]]
RULES: tuple[Rule, ...] = (
    every_job_ends,
    what_was_accepted_is_there,
    what_is_there_was_sent,
    ledgers_are_exact,
    results_equal_the_fault_free_ones,
    completed_jobs_can_be_read,
    failures_are_explained,
    kept_wishes,
    ends_are_final,
    answers_say_what_to_do,
    nothing_is_left_in_the_store,
    nothing_is_left_running,
    nothing_is_left_in_the_database,
    services_foresee_what_happens,
    the_run_itself_went_well,
)


def check(evidence: Evidence) -> tuple[Violation, ...]:
    """Nothing, if all is well."""
    return tuple(Violation(rule.__name__, sentence) for rule in RULES for sentence in rule(evidence))


def _completed(evidence: Evidence) -> Iterator[JobRecord]:
    return (job for job in evidence.jobs if job.state == "completed")


def _words(outcome: Outcome) -> str:
    return str(replace(outcome, digest=outcome.digest[:12]))

"""The clients of an episode: each sends one thing through the public way, as the Python client does, and writes down what it saw.

What a client is told to repeat it repeats, as long as there is time; what it is told otherwise is for the checker to judge.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import UUID

import httpx

from tests.chaos.history import History, What
from tests.chaos.schedule import Abort, Cancel, Rubbish, Submit
from tests.support.code_reader import PIPELINE_ID
from vidette.client import Client
from vidette.errors import ServiceUnavailable, VidetteError
from vidette.flows import Timeouts
from vidette.models import JobStatus
from vidette.retry import RetryPolicy

QUICK = Timeouts(connect=3, read=10, write=10, accept=25, outage=30)
PATIENT = RetryPolicy(attempts=20)
"""For clients before the first fault and after the last."""
SENDS = 4
"""How often a client sends its video, until it is told a job's id."""
FOLLOW_S = 240.0
"""A job that has not ended by then is left to the calm at the end."""
CANCEL_S = 30.0
"""How long whoever wants to cancel waits for its job's id."""
_PIECE = 4096
_PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)
_BOUNDARY = "chaos"


class Crowd:
    """All clients of one episode. `over` ends the patience of those that still follow a job."""

    def __init__(self, url: str, films: Mapping[str, Path], history: History) -> None:
        self._url = url
        self._films = films
        self._history = history
        self._jobs: dict[int, UUID] = {}
        self._accepted = threading.Condition()
        self.over = threading.Event()

    def submit(self, action: Submit) -> None:
        """Send, follow, read."""
        with Client(self._url, QUICK) as client:
            for attempt in range(SENDS):
                job_id = self._send(client, action, f"{action.number}.{attempt}")
                if job_id is not None or self.over.wait(2.0):
                    break
            if job_id is None:
                return
            with self._accepted:
                self._jobs[action.number] = job_id
                self._accepted.notify_all()
            if self._follow(client, job_id) == "completed":
                self._read(client, job_id)

    def _send(self, client: Client, action: Submit, number: str) -> UUID | None:
        """The job, if its client is told of one; there may be one all the same."""
        work, film = action.work, self._films[action.work.film]
        facts = {"number": number, "kind": action.kind}
        workers = action.max_workers
        self._history.note(What.SENT, **facts, work=work.name, max_workers=workers, bytes=film.stat().st_size)
        try:
            job_id = client.submit(film, PIPELINE_ID, work.stride, work.max_frames or None, max_workers=workers)
        except VidetteError as error:
            self._history.note(What.REFUSED, **facts, **_told(error))
            return None
        self._history.note(What.ACCEPTED, **facts, job=job_id)
        return job_id

    def cancel(self, action: Cancel) -> None:
        """What was never accepted cannot be cancelled."""
        with self._accepted:
            self._accepted.wait_for(lambda: action.number in self._jobs, timeout=CANCEL_S)
            job_id = self._jobs.get(action.number)
        if job_id is None:
            return
        facts = {"number": action.number, "job": job_id}
        self._history.note(What.CANCELLING, **facts)
        with Client(self._url, QUICK) as client:
            try:
                client.cancel(job_id)
            except VidetteError as error:
                self._history.note(What.NOT_CANCELLED, **facts, **_told(error))
            else:
                self._history.note(What.CANCELLED, **facts)

    def abort(self, action: Abort) -> None:
        body = self._films[action.film].read_bytes()
        keep = int(len(body) * action.share)

        def pieces() -> Iterator[bytes]:
            yield _field("pipeline_id", PIPELINE_ID) + _file_head("a.mp4")
            for start in range(0, keep, _PIECE):
                yield body[start : min(keep, start + _PIECE)]
                time.sleep(0.02)
            raise _Left

        self._post(str(action.number), action.kind, pieces())

    def rubbish(self, action: Rubbish) -> None:
        self._post(str(action.number), action.kind, iter([RUBBISH[action.sort](self._films["short"].read_bytes())]))

    def _post(self, number: str, kind: str, pieces: Iterator[bytes]) -> None:
        """Without the Python client, which sends no rubbish."""
        facts = {"number": number, "kind": kind}
        self._history.note(What.SENT, **facts, work="", max_workers=0, bytes=0)
        headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        try:
            answer = httpx.post(
                f"{self._url}/video/submit", content=pieces, headers=headers, timeout=25, trust_env=False
            )
        except (httpx.TransportError, _Left) as error:
            code = type(error).__name__.strip("_").lower()
            self._history.note(What.REFUSED, **facts, status=None, code=code, detail=str(error))
        else:
            if answer.is_success:
                self._history.note(What.ACCEPTED, **facts, job=answer.json()["job_id"])
            else:
                code = answer.headers.get("vidette-error", "")
                told = {"code": code, "detail": answer.text[:300], "retry_after": answer.headers.get("retry-after")}
                self._history.note(What.REFUSED, **facts, status=answer.status_code, **told)

    def _follow(self, client: Client, job_id: UUID) -> str | None:
        """The state in which the job ended, if it did so in time. Status after status is noted where it differs."""
        last: tuple[str, str] | None = None
        deadline = time.monotonic() + FOLLOW_S
        while not self.over.is_set() and time.monotonic() < deadline:
            try:
                status = client.status(job_id)
            except VidetteError as error:
                self._history.note(What.TROUBLE, job=job_id, doing="status", **_told(error))
                if not isinstance(error, ServiceUnavailable):
                    return None
            else:
                seen = (status.status.value, status.error.code if status.error else "")
                if seen != last:
                    self._history.note(What.STATUS, job=job_id, state=seen[0], code=seen[1], progress=status.progress)
                last = seen
                if status.status.is_final:
                    return seen[0]
            self.over.wait(0.5)
        return None

    def _read(self, client: Client, job_id: UUID) -> None:
        while not self.over.is_set():
            try:
                rows, digest = digest_of(client, job_id)
            except VidetteError as error:
                self._history.note(What.TROUBLE, job=job_id, doing="results", **_told(error))
                if not isinstance(error, ServiceUnavailable):
                    return
                self.over.wait(1.0)
            else:
                self._history.note(What.RESULTS, job=job_id, rows=rows, digest=digest)
                return


class _Left(Exception):
    """The client has gone."""


def digest_of(client: Client, job_id: UUID) -> tuple[int, str]:
    """The number of the job's rows, and the SHA-256 of their lines. Raises `VidetteError`."""
    rows, digest = 0, hashlib.sha256()
    for line in client.result_lines(job_id):
        rows += 1
        digest.update(line + b"\n")
    return rows, digest.hexdigest()


def warnings_of(status: JobStatus) -> tuple[str, ...]:
    """Those that do not depend on how many workers there were."""
    return tuple(sorted(warning.code for warning in status.warnings if warning.code != "not_split"))


def _told(error: VidetteError) -> dict[str, object]:
    return {
        "status": error.status_code,
        "code": str(error.code),
        "detail": error.detail[:300],
        "retry_after": error.retry_after,
    }


def _field(name: str, value: str) -> bytes:
    return f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def _file_head(name: str) -> bytes:
    disposition = f'form-data; name="file"; filename="{name}"'
    return f"--{_BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()


def _file(content: bytes) -> bytes:
    return _file_head("a.mp4") + content + b"\r\n"


_END = f"--{_BOUNDARY}--\r\n".encode()
_PIPELINE = _field("pipeline_id", PIPELINE_ID)
RUBBISH: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: _PIPELINE + _file(b"") + _END,
    "text": lambda _: _PIPELINE + _file(b"WEBVTT\n\nno video at all " * 40) + _END,
    "png": lambda _: _PIPELINE + _file(_PNG) + _END,
    "no_file": lambda _: _PIPELINE + _END,
    "unknown_pipeline": lambda film: _field("pipeline_id", "none_such") + _file(film) + _END,
    "bad_stride": lambda film: _file(film) + _PIPELINE + _field("frame_stride", "0") + _END,
    "two_files": lambda film: _PIPELINE + _file(film) + _file(film) + _END,
    "unclosed": lambda film: _PIPELINE + _file(film),
}

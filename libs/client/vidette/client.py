"""The Python client: submit a video, follow its job, read the results frame by frame.

    with Client("http://127.0.0.1:8000") as client:
        job = client.submit(Path("clip.mp4"), "yolo_ocr", frame_stride=10)
        client.wait(job, timeout=600)
        for row in client.results(job):
            print(row.frame_index, row.result.text)

Memory stays constant whatever the size of the video or of its results, and every request has time limits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from vidette.errors import ClientCode, VidetteError, bad_address, from_response, from_transport, is_loopback
from vidette.models import FrameRow, JobStatus, ResultFacts
from vidette.retry import RetryPolicy, is_transient, read_retry_after
from vidette.upload import Listener, OutgoingFile, Progress, sent_name

NDJSON: Final = "application/x-ndjson"
MAX_LINE: Final = 64 * 1024 * 1024
"""Bytes of one row of results; far above what the service writes, far below what would hurt."""
_POLL_FIRST: Final = 0.2
_POLL_LONGEST: Final = 2.0
_POLL_GROWTH: Final = 1.4


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `read` and `write` are silences on the wire, not whole requests.

    `accept` is the silence after the last byte of an upload: the service then completes it in its store, which for large
    videos takes some stores seconds. `outage` is how long `wait` bears a service that does not answer.
    """

    connect: float = 5.0
    read: float = 30.0
    write: float = 60.0
    accept: float = 120.0
    outage: float = 60.0


class Client:
    """A connection to one Vidette service; use it as a context manager, or call `close`.

    Every method raises `VidetteError`. Reading requests are repeated when the service cannot be reached or answers 503.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeouts = timeouts or Timeouts()
        self._retries = retries or RetryPolicy()
        self._http = self._open(self._timeouts.read)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def submit(
        self,
        path: Path,
        pipeline_id: str,
        frame_stride: int = 1,
        max_frames: int | None = None,
        on_progress: Progress | None = None,
    ) -> UUID:
        """Uploads a video and returns its job's id. Not repeated by itself: each upload that succeeds is a job of its own."""
        fields = {"pipeline_id": pipeline_id, "frame_stride": str(frame_stride)}
        if max_frames is not None:
            fields["max_frames"] = str(max_frames)
        listener = Listener()
        try:
            file = OutgoingFile(path, listener, on_progress)
        except OSError as error:
            raise VidetteError(None, ClientCode.BAD_FILE, f"{path} cannot be read: {error.strerror}.") from error
        # A connection of its own for each upload: only a new one is announced to the listener.
        with file, self._open(self._timeouts.accept) as http:
            response = self._post(http, listener, _file_first(path, file, fields))
        return _read(_Submitted, response).job_id

    def status(self, job_id: UUID) -> JobStatus:
        """Where the job stands."""
        return _read(JobStatus, self._get(f"/video/status/{job_id}"))

    def wait(
        self, job_id: UUID, timeout: float | None = None, on_status: Callable[[JobStatus], None] | None = None
    ) -> JobStatus:
        """Returns once the job is completed or failed. `timeout` is in seconds, None for as long as it takes."""
        deadline = None if timeout is None else time.monotonic() + timeout
        answered, pause = time.monotonic(), _POLL_FIRST
        while True:
            try:
                status = self.status(job_id)
            except VidetteError as error:
                if not is_transient(error) or time.monotonic() - answered > self._timeouts.outage:
                    raise
            else:
                answered = time.monotonic()
                if on_status is not None:
                    on_status(status)
                if status.status.is_final:
                    return status
            if deadline is not None and time.monotonic() + pause > deadline:
                detail = f"The job {job_id} did not end within {timeout:g} s. It goes on; ask for its status later."
                raise VidetteError(None, ClientCode.TIMED_OUT, detail)
            time.sleep(pause)
            pause = min(pause * _POLL_GROWTH, _POLL_LONGEST)

    def results(self, job_id: UUID) -> Iterator[FrameRow]:
        """The analysed frames in frame order, read as they arrive."""
        for line in self.result_lines(job_id):
            try:
                yield FrameRow.model_validate_json(line)
            except ValidationError as error:
                raise _unreadable(self.base_url) from error

    def result_lines(self, job_id: UUID) -> Iterator[bytes]:
        """The same as `results`, as JSON texts just as the service sent them, without their line feeds."""
        response = self._get(f"/video/results/{job_id}", {"Accept": NDJSON}, stream=True)
        try:
            if NDJSON not in response.headers.get("content-type", ""):
                raise _unreadable(self.base_url)
            yield from _lines(response, self.base_url)
        except httpx.RequestError as error:
            raise from_transport(error, self.base_url) from error
        finally:
            response.close()

    def result_facts(self, job_id: UUID) -> ResultFacts:
        """What goes for all rows of the results."""
        return _read(ResultFacts, self._get(f"/video/results/{job_id}?limit=1"))

    def _open(self, read: float) -> httpx.Client:
        limits = self._timeouts
        try:
            return httpx.Client(
                base_url=self.base_url,
                timeout=httpx.Timeout(connect=limits.connect, read=read, write=limits.write, pool=limits.connect),
                headers={"User-Agent": "vidette"},
                # A proxy of the environment cannot reach what listens on this machine only.
                trust_env=not is_loopback(self.base_url),
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise bad_address(self.base_url) from error

    def _post(self, http: httpx.Client, listener: Listener, form: list[tuple[str, Any]]) -> httpx.Response:
        try:
            response = http.post("/video/submit", files=form, extensions={"trace": listener.trace})
        except httpx.LocalProtocolError as error:
            detail = "The file changed while it was being sent. Send it again once it is complete."
            raise VidetteError(None, ClientCode.BAD_FILE, detail) from error
        except OSError as error:
            detail = f"The file cannot be read to its end: {error.strerror}."
            raise VidetteError(None, ClientCode.BAD_FILE, detail) from error
        except httpx.RequestError as error:
            raise from_transport(error, self.base_url) from error
        if not response.is_success:
            raise from_response(response, read_retry_after)
        return response

    def _get(self, path: str, headers: dict[str, str] | None = None, *, stream: bool = False) -> httpx.Response:
        failures = 0
        while True:
            try:
                return self._get_once(path, headers, stream)
            except VidetteError as error:
                failures += 1
                delay = self._retries.delay(failures, error.retry_after) if is_transient(error) else None
                if delay is None:
                    raise
            time.sleep(delay)

    def _get_once(self, path: str, headers: dict[str, str] | None, stream: bool) -> httpx.Response:
        try:
            response = self._http.send(self._http.build_request("GET", path, headers=headers), stream=stream)
            if not response.is_success:
                response.read()
        except httpx.RequestError as error:
            raise from_transport(error, self.base_url) from error
        if not response.is_success:
            raise from_response(response, read_retry_after)
        return response


Model = TypeVar("Model", bound=BaseModel)


class _Submitted(BaseModel):
    job_id: UUID


def _file_first(path: Path, file: OutgoingFile, fields: dict[str, str]) -> list[tuple[str, Any]]:
    """The form in the order in which curl sends it; a part without a file name is a plain field."""
    return [("file", (sent_name(path), file)), *((name, (None, value)) for name, value in fields.items())]


def _read(model: type[Model], response: httpx.Response) -> Model:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise _unreadable(f"{response.url.scheme}://{response.url.netloc.decode()}") from error


def _lines(response: httpx.Response, base_url: str) -> Iterator[bytes]:
    """Split at line feeds only: text found in a frame may hold characters that Unicode counts as line ends."""
    rest = bytearray()
    for piece in response.iter_bytes():
        head, feed, tail = piece.rpartition(b"\n")
        if feed:
            yield from (line for line in (bytes(rest) + head).split(b"\n") if line)
            rest = bytearray()
        rest += tail
        if len(rest) > MAX_LINE:
            raise _unreadable(base_url)
    if rest:
        yield bytes(rest)


def _unreadable(base_url: str) -> VidetteError:
    return VidetteError(None, ClientCode.BAD_ANSWER, f"{base_url} does not answer as a Vidette service does.")

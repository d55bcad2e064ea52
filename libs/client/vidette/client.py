"""The Python client: submit a video, follow its job, read the results frame by frame.

    with Client("http://127.0.0.1:8000") as client:
        for row in client.run(Path("clip.mp4"), "yolo_ocr", frame_stride=10):
            print(row.frame_index, row.result.text)

Memory stays constant whatever the size of the video or of its results, and every request has time limits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Self, TypeVar
from uuid import UUID

import httpx

from vidette.answers import read
from vidette.flows import Ask, Flow, Pause, Send, Service, Take, Timeouts
from vidette.models import FrameRow, JobStatus, Pipeline, ResultFacts, Verification
from vidette.retry import RetryPolicy
from vidette.rows import Reading
from vidette.sending import send
from vidette.upload import Progress, Upload

Result = TypeVar("Result")


class Client:
    """A connection to one Vidette service; use it as a context manager, or call `close`.

    Every method raises `VidetteError`: a class for each code, see `vidette.errors`. Requests that change nothing the second
    time are repeated with a back-off while the service cannot be reached or is unavailable.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._service = Service(self.base_url, timeouts or Timeouts(), retries or RetryPolicy())
        self._http = httpx.Client(**self._service.connection(self._service.timeouts.read))

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
        *,
        max_workers: int | None = None,
    ) -> UUID:
        """Uploads a video and returns its job's id. `on_progress` is called with the bytes sent and the bytes in all.

        `max_workers` bounds how many workers may share a long video; None leaves it to the service. Results do not depend on it.

        Each upload that succeeds is a job of its own, so it is repeated only where none can have been made: when no
        connection could be made (`Unreachable`), or the service had no room to begin (`TooManyUploads`).
        """
        return self._run(self._service.submit(path, pipeline_id, frame_stride, max_frames, max_workers, on_progress))

    def run(
        self,
        path: Path,
        pipeline_id: str,
        frame_stride: int = 1,
        max_frames: int | None = None,
        on_progress: Progress | None = None,
        *,
        max_workers: int | None = None,
        timeout: float | None = None,
        on_status: Callable[[JobStatus], None] | None = None,
    ) -> Generator[FrameRow]:
        """`submit`, `wait` and `results` in one. Raises `JobFailed` too, of the class of the job's error."""
        job_id = self.submit(path, pipeline_id, frame_stride, max_frames, on_progress, max_workers=max_workers)
        self._run(self._service.finish(job_id, timeout, on_status))
        return self.results(job_id)

    def status(self, job_id: UUID) -> JobStatus:
        """Where the job stands."""
        return self._run(self._service.status(job_id))

    def wait(
        self, job_id: UUID, timeout: float | None = None, on_status: Callable[[JobStatus], None] | None = None
    ) -> JobStatus:
        """Returns once the job is completed or failed. `timeout` is in seconds, None for as long as it takes.

        `on_status` is called with each status that is read. Raises `StillRunning` at the timeout.
        """
        return self._run(self._service.wait(job_id, timeout, on_status))

    def cancel(self, job_id: UUID) -> JobStatus:
        """The job shall end; soon its status is `failed` with the code `cancelled`. Asking again is fine.

        Raises `JobOver` when it has ended otherwise.
        """
        return self._run(self._service.cancel(job_id))

    def verify(
        self,
        job_id: UUID,
        frames: int | None = None,
        seed: int | None = None,
        *,
        timeout: float | None = None,
        on_status: Callable[[JobStatus], None] | None = None,
    ) -> Verification:
        """Has about `frames` frames of a completed job decoded and analysed once more, and compared with what is stored.

        Which ones is decided by `seed`, at random without it. The verification is a job of its own, which is waited for as by
        `wait`. Raises `JobFailed` where it fails, for instance because a model is not served any more.
        """
        return self._run(self._service.verify(job_id, frames, seed, timeout, on_status))

    def results(self, job_id: UUID) -> Generator[FrameRow]:
        """The analysed frames in frame order, read as they arrive; after a broken connection it goes on where it was."""
        for line in self.result_lines(job_id):
            yield read(FrameRow, line, self.base_url)

    def result_lines(self, job_id: UUID) -> Generator[bytes]:
        """The same as `results`, as JSON texts just as the service sent them, without their line feeds."""
        reading = Reading(self._service, job_id)
        while (response := self._run(reading.opened())) is not None:
            try:
                for piece in response.iter_bytes():
                    yield from reading.lines(piece)
                yield from reading.end()
            except httpx.RequestError as lost:
                self._run(reading.broken(lost))
            finally:
                response.close()

    def result_facts(self, job_id: UUID) -> ResultFacts:
        """What goes for all rows of the results."""
        return self._run(self._service.facts(job_id))

    def pipelines(self) -> tuple[Pipeline, ...]:
        """What a `pipeline_id` may be."""
        return self._run(self._service.pipelines())

    def _run(self, flow: Flow[Result]) -> Result:
        with closing(flow):
            try:
                step = next(flow)
                while True:
                    try:
                        outcome = self._do(step)
                    except httpx.RequestError as lost:
                        step = flow.throw(lost)
                    else:
                        step = flow.send(outcome)
            except StopIteration as end:
                result: Result = end.value
                return result

    def _do(self, step: Ask | Send | Pause) -> httpx.Response | None:
        match step:
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Ask():
                return self._ask(step)
            case Send():
                return send(self._service, Upload(step.path, step.fields, step.on_progress))

    def _ask(self, step: Ask) -> httpx.Response:
        request = self._http.build_request(step.method, step.path, headers={"Accept": step.accept})
        response = self._http.send(request, stream=True)
        if not response.is_success or step.take is Take.ALL:
            response.read()
        elif step.take is Take.HEAD:
            response.close()
        return response

"""One submission, from the first byte of its body to a pending job: rows, parts, heartbeat, and the way back out.

The row is there before the upload opens and knows its id before the first part, so that whatever breaks off here is found by
the controller's sweeper. What can be cleaned up at once is cleaned up at once, within a bound.
"""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import structlog
from starlette.requests import ClientDisconnect

from vidette_api.http_errors import DEFECT, unavailable
from vidette_api.public.body import Body, too_large
from vidette_api.public.form import Event, Field, FileBytes, FileEnded, FormReader, missing_file, refused
from vidette_api.public.parameters import ParameterReader, Parameters
from vidette_api.public.upload import Upload, part_size
from vidette_api.wiring import Services
from vidette_core.domain.chunks import source_key
from vidette_core.domain.containers import SNIFF_BYTES, sniff
from vidette_core.domain.errors import DomainError, ErrorCode, Problem
from vidette_core.ports.errors import Conflict, DatabaseUnavailable, NotFound, PortError, Unavailable
from vidette_core.ports.jobs import Submission
from vidette_core.telemetry.metrics import UPLOADED_BYTES
from vidette_core.telemetry.tracing import current_traceparent

INVALID_FORMAT = Problem(ErrorCode.INVALID_FORMAT, "Invalid file format. Must be MP4, MOV, or AVI.")
"""The sentence is part of the contract."""
CLIENT_LEFT = Problem(ErrorCode.UPLOAD_ABORTED, "The client went away before the upload was complete.")
STOPPED = Problem(ErrorCode.UPLOAD_ABORTED, "The service was stopped during the upload. Send the video again.")
GIVEN_UP = Problem(
    ErrorCode.DATABASE_UNAVAILABLE,
    "The upload was given up, since the database had not heard of it for long. Send it again.",
)
CLEAN_UP_S = 10.0
SUBMIT_S = 10.0
"""How long PostgreSQL may be away when the video is complete, before the client has to send it all again."""
_log = structlog.get_logger(__name__)


class Reception:
    """Used once, by one task. `job_id` is the id that the job gets."""

    def __init__(self, services: Services, body: Body, boundary: str) -> None:
        self.job_id = uuid4()
        self._services = services
        self._body = body
        self._form = FormReader(boundary)
        self._parameters = ParameterReader(services.catalog)
        self._head = bytearray()
        self._begun = False
        self._upload: Upload | None = None
        self._given_up = False

    async def run(self) -> UUID:
        """Take the whole body and submit the job. Raises `DomainError` with what the client is to be told."""
        heartbeat = asyncio.create_task(self._beat())
        try:
            parameters = await self._receive()
            await self._submit(parameters)
        except (Exception, asyncio.CancelledError) as error:
            # A cancellation ends here: only a server that stops cancels us, and its client is to read why, not to be cut off.
            problem = _problem(error)
            await self._clean_up(problem)
            raise DomainError(problem) from error
        finally:
            heartbeat.cancel()
            await asyncio.wait([heartbeat], timeout=1)
        return self.job_id

    async def _receive(self) -> Parameters:
        async for piece in self._body.pieces():
            for event in self._form.feed(piece):
                await self._take(event)
        self._form.finish()
        return self._parameters.complete()

    async def _take(self, event: Event) -> None:
        if self._given_up:
            raise DomainError(GIVEN_UP)
        match event:
            case Field():
                self._parameters.take(event)
            case FileBytes(data) if self._upload is not None:
                await self._write(data)
            case FileBytes(data):
                self._head += data
                if len(self._head) >= SNIFF_BYTES:
                    await self._open()
            case FileEnded(named):
                if not self._head and not named:
                    raise refused(missing_file())
                if self._upload is None:
                    await self._open()

    async def _open(self) -> None:
        """The file's first bytes are here: refuse them, or write the row and open the upload, in this order."""
        container = sniff(bytes(self._head[:SNIFF_BYTES]))
        if container is None:
            raise DomainError(INVALID_FORMAT)
        key = source_key(self.job_id)
        await self._services.submissions.begin(
            self.job_id, container=container.value, source_key=key, tenant=self._services.tenant
        )
        self._begun = True
        self._parameters.confirm()
        upload_id = await self._services.store.create_upload(key)
        limits = self._services.uploads
        expected = limits.max_bytes if self._body.declared is None else self._body.declared
        self._upload = Upload(self._services.store, key, upload_id, part_size(expected, limits.part_bytes))
        await self._services.submissions.record_upload(self.job_id, upload_id)
        await self._write(self._head)

    async def _write(self, data: bytes | bytearray) -> None:
        assert self._upload is not None, "the upload is open"
        received, limit = self._upload.received + len(data), self._services.uploads.max_bytes
        if received > limit:
            raise too_large(limit, received)
        await self._upload.write(data)
        UPLOADED_BYTES.inc(len(data))

    async def _submit(self, parameters: Parameters) -> None:
        assert self._upload is not None, "a form without a file was refused"
        await self._upload.complete()
        submission = Submission(
            pipeline=parameters.pipeline,
            sampling=parameters.sampling,
            max_workers=parameters.max_workers,
            chunk_frames=self._services.analysis.chunk_frames,
            source_bytes=self._upload.received,
            traceparent=current_traceparent(),
        )
        clock = asyncio.get_running_loop()
        end, delay, uncertain = clock.time() + SUBMIT_S, 0.2, False
        while True:
            try:
                return await self._services.submissions.submit(self.job_id, submission)
            except DatabaseUnavailable:
                if clock.time() + delay > end:
                    raise
                uncertain = True
            except Conflict:
                if uncertain and await self._is_submitted():
                    return None
                raise
            await asyncio.sleep(delay)
            delay *= 2

    async def _is_submitted(self) -> bool:
        """Whether an earlier try was committed, and only its answer was lost."""
        try:
            await self._services.reader.job(self.job_id, self._services.tenant)
        except NotFound:
            return False
        return True

    async def _beat(self) -> None:
        while not self._given_up:
            await asyncio.sleep(self._services.uploads.heartbeat_s)
            try:
                if self._begun:
                    await self._services.submissions.heartbeat(self.job_id)
            except Conflict:
                self._given_up = True
            except PortError as error:
                _log.warning("a heartbeat of an upload was lost", error=str(error))

    async def _clean_up(self, problem: Problem) -> None:
        """Best effort: the sweeper finds what stays."""
        if not self._begun:
            return
        try:
            async with asyncio.timeout(CLEAN_UP_S):
                await self._services.submissions.abandon(self.job_id, problem)
        except (PortError, TimeoutError) as error:
            _log.info("the row of a broken upload stays for the sweeper", error=str(error))
        if self._upload is None:
            return
        try:
            async with asyncio.timeout(CLEAN_UP_S):
                await self._upload.abort()
        except (PortError, TimeoutError) as error:
            _log.info("the parts of a broken upload stay for the sweeper", error=str(error))


def _problem(error: BaseException) -> Problem:
    """What broke off an upload, for its row and for the client."""
    match error:
        case DomainError():
            return error.problem
        case Unavailable():
            _log.warning("an upload met something that is away", error=str(error))
            return unavailable(error)
        case ClientDisconnect():
            return CLIENT_LEFT
        case asyncio.CancelledError():
            return STOPPED
        case Conflict():
            return GIVEN_UP
        case _:
            _log.error("a defect of Vidette met an upload", exc_info=error)
            return DEFECT

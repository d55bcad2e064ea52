"""The sweeper: what died halfway is given up, and what it left in the store is removed.

Only what cannot be wanted any more is removed: the upload of a job that was never submitted, and objects of an ended job
that no committed chunk names, once no write of its workers can still land. Never «old and unreferenced».
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from vidette_controller.settings import SweepSettings
from vidette_core.domain.chunks import results_prefix
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.ports.blobs import BlobStore
from vidette_core.ports.errors import PortError
from vidette_core.ports.jobs import Leftover, Sweeping
from vidette_core.telemetry.logs import job_in_logs

_ABANDONED = Problem(ErrorCode.UPLOAD_ABORTED, "The upload broke off. Send the video again.")
_log = structlog.get_logger(__name__)


class Sweeper:
    """Several may run at once: every step can be repeated."""

    def __init__(self, sweeping: Sweeping, store: BlobStore, settings: SweepSettings) -> None:
        self._sweeping = sweeping
        self._store = store
        self._settings = settings

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.sweep()
            except PortError as error:
                _log.warning("the sweep was cut short; the next one goes on", error=str(error))
            await asyncio.sleep(self._settings.interval_s)

    async def sweep(self) -> None:
        """One pass. Raises `PortError`."""
        for leftover in await self._sweeping.give_up_uploads(self._settings.upload_silence_s, _ABANDONED):
            with job_in_logs(leftover.job_id):
                _log.warning("an upload without a heartbeat is given up")
                await self._alone(self._drop_upload, leftover)
        after: Leftover | None = None
        while batch := await self._sweeping.unswept(self._settings.settle_s, after):
            for leftover in batch:
                with job_in_logs(leftover.job_id):
                    await self._alone(self._sweep_job, leftover)
            after = batch[-1]

    async def _alone(self, step: Callable[[Leftover], Awaitable[None]], leftover: Leftover) -> None:
        """One job's trouble must not keep the others waiting; the next pass tries it again."""
        try:
            await step(leftover)
        except PortError as error:
            _log.warning("what the job left could not be removed; the next pass tries again", error=str(error))

    async def _sweep_job(self, leftover: Leftover) -> None:
        if leftover.submitted:
            await self._drop_uncommitted(leftover)
        else:
            await self._drop_upload(leftover)
            await self._store.delete(leftover.source_key)
        await self._sweeping.mark_swept(leftover.job_id)

    async def _drop_upload(self, leftover: Leftover) -> None:
        if leftover.upload_id is not None:
            await self._store.abort_upload(leftover.source_key, leftover.upload_id)

    async def _drop_uncommitted(self, leftover: Leftover) -> None:
        keys = [key async for key in self._store.list(results_prefix(leftover.job_id))]
        garbage = set(keys) - await self._sweeping.committed(leftover.job_id)
        for key in garbage:
            await self._store.delete(key)
        if garbage:
            _log.info("removed chunks that were never committed", objects=len(garbage))

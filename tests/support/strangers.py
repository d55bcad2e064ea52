"""Jobs of other people in every state there is, and what could be seen of them or change in them.

`Possessions` are what belongs to whom: rows and objects by job. Two taken at two times tell whether anything of somebody's
changed; and from a job's own follow its secrets, the words and numbers that no answer to anybody else may hold.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text, update
from sqlmodel import col

from tests.support.finished_jobs import chunks_of, finished_job, frame
from tests.support.gateway import Gateway, chunk, gateway
from tests.support.jobs import CHUNK_FRAMES, cut, launch
from tests.support.public_api import Api, public_api
from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings
from vidette_core.adapters.postgres.schema import JobRow
from vidette_core.domain.chunks import results_prefix, source_key
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.jobs import Fence, JobWarning
from vidette_core.ports.jobs import Caps

_SHARED = {"tenant", "state", "container", "pipeline_digest", "spec_hash", "error_code", "traceparent"}
"""Columns whose words many jobs have in common, so that they tell nothing of one."""
_TELLING_WORD, _TELLING_NUMBER = 12, 10_000_000
"""From so many characters, or from this number on, a value is one job's own here and stands nowhere by chance."""
_ONLY_NEW_TENANTS = Caps(10_000, 1)


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody else's job, and tokens of it that were good once."""

    what: str
    id: UUID
    tenant: str
    stale: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Possessions:
    rows: Mapping[UUID, list[tuple[str, dict[str, Any]]]]
    objects: Mapping[str, str]
    """Key and SHA-256."""

    def changed_since(self, before: Possessions, *, but_of: UUID | None = None) -> list[str]:
        """What has changed, come or gone of everybody's but that job's."""
        found = []
        for owner in (self.rows.keys() | before.rows.keys()) - {but_of}:
            then, now = _cells(before.rows.get(owner, [])), _cells(self.rows.get(owner, []))
            found += [f"{owner} {at}: {then.get(at)} -> {now.get(at)}" for at in now if now[at] != then.get(at)]
            found += [f"{owner} {at} is gone" for at in then.keys() - now.keys()]
        for key in self.objects.keys() | before.objects.keys():
            if str(but_of) not in key and self.objects.get(key) != before.objects.get(key):
                found.append(f"the object {key}")
        return found

    def secrets(self, job_id: UUID) -> set[str]:
        own = {str(job_id), job_id.hex}
        for _, row in self.rows[job_id]:
            own |= {word for name, value in row.items() if name not in _SHARED for word in _words(value)}
        return own | {digest for key, digest in self.objects.items() if str(job_id) in key}


def _cells(rows: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    return {
        f"{table} {number} {column}": value for number, (table, row) in enumerate(rows) for column, value in row.items()
    }


def _words(value: object) -> Iterable[str]:
    match value:
        case str() if len(value) >= _TELLING_WORD:
            yield value
        case bool():
            return
        case int() if value >= _TELLING_NUMBER:
            yield str(value)
        case datetime():
            yield value.isoformat()
        case Mapping():
            for part in value.values():
                yield from _words(part)
        case list():
            for part in value:
                yield from _words(part)


async def possessions(place: Gateway, read: Collection[UUID]) -> Possessions:
    """The objects of jobs in `read` are read; of all others, which may be other tests', it is enough that they are there."""
    rows: dict[UUID, list[tuple[str, dict[str, Any]]]] = {}
    async with place.db.database.transaction() as session:
        for table, owner, order in (
            ("jobs", "id", "id"),
            ("segments", "job_id", "job_id, index"),
            ("chunks", "job_id", "job_id, first_sample"),
        ):
            for row in (await session.execute(text(f"SELECT * FROM {table} ORDER BY {order}"))).mappings():
                rows.setdefault(row[owner], []).append((table, dict(row)))
    return Possessions(rows, {key: await _digest(place, key, read) async for key in place.services.store.list("")})


async def _digest(place: Gateway, key: str, read: Collection[UUID]) -> str:
    if not any(str(owner) in key for owner in read):
        return "not read"
    return hashlib.sha256(await place.services.store.get(key, 2**20)).hexdigest()


@dataclass(frozen=True, slots=True)
class Scene:
    """The gateway, the public apps of two tenants, and strangers' jobs behind them, all in one event loop."""

    runner: asyncio.Runner
    place: Gateway
    mine: Api
    theirs: Api
    others: Mapping[str, Stranger]

    @property
    def owners(self) -> set[UUID]:
        return {stranger.id for stranger in self.others.values()}


@contextmanager
def scene_of(database_url: str, s3: StoreEndpoint) -> Iterator[Scene]:
    """To be entered outside a running event loop; its own is `runner`'s."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def set_up() -> Scene:
            place = await stack.enter_async_context(gateway(database_url, s3))
            mine = await stack.enter_async_context(public_api(database_url, store_settings(s3)))
            theirs = await stack.enter_async_context(public_api(database_url, store_settings(s3), tenant="theirs"))
            return Scene(runner, place, mine, theirs, await strangers(place, theirs))

        try:
            yield runner.run(set_up())
        finally:
            runner.run(stack.aclose())


async def running_job(place: Gateway, tenant: str, **columns: Any) -> UUID:
    """Begun by a controller, with a video in the store; only a tenant without another running job gets one started."""
    job_id = await place.db.submit(tenant=tenant)
    await place.services.store.put(source_key(job_id), f"the video of {job_id}".encode())
    assert await place.db.run(_ONLY_NEW_TENANTS) == [job_id]
    await _set(place, job_id, launch_uid=str(uuid4()), **columns)
    return job_id


async def strangers(place: Gateway, owner: Api) -> dict[str, Stranger]:
    """One in every state. The completed one is shown by its owner's public app; the others are of tenants of their own."""
    made = [
        await _completed(place, owner),
        await _uploading(place),
        await _unclaimed(place),
        await _working(place),
        await _cancelled(place),
        await _replaced(place),
        await _failed(place),
    ]
    made += [await _pending(place, tenant) for tenant in ("working", "unclaimed")]  # who run as much as they may
    return {each.what: each for each in made}


async def _completed(place: Gateway, owner: Api) -> Stranger:
    tenant = owner.services.tenant
    rows = [{**frame(index)} for index in range(3 * CHUNK_FRAMES)]
    for row in rows:
        row["result"]["text"] = f"read in a video of {tenant}, frame {row['frame_index']}"
    job_id = await finished_job(owner, chunks_of(rows, CHUNK_FRAMES))
    stale = place.tokens.session_token(Fence(job_id, 0, 1))
    return Stranger("completed", job_id, tenant, (stale,))


async def _uploading(place: Gateway) -> Stranger:
    job_id = uuid4()
    await place.db.submissions.begin(job_id, container="mov", source_key=source_key(job_id), tenant="uploading")
    await place.db.submissions.record_upload(job_id, f"upload-{uuid4()}")
    return Stranger("uploading", job_id, "uploading")


async def _pending(place: Gateway, tenant: str) -> Stranger:
    return Stranger(f"pending, of {tenant}", await place.db.submit(tenant=tenant), tenant)


async def _unclaimed(place: Gateway) -> Stranger:
    return Stranger("unclaimed", await running_job(place, "unclaimed", source_bytes=91_000_001), "unclaimed")


async def _working(place: Gateway) -> Stranger:
    """Of two segments, a chunk is committed, and another one stored."""
    job_id = await running_job(place, "working", source_bytes=91_000_002)
    early = await place.claim(job_id, "stranger-pod-working-0")
    first = await place.claim(job_id, "stranger-pod-working-0")
    claimed = Fence(job_id, first["segment"], first["epoch"])
    await place.db.planning.post_plan(claimed, cut(4 * CHUNK_FRAMES, CHUNK_FRAMES, 2))
    await place.claim(job_id, "stranger-pod-working-1")
    rows = f"chunk 0 of {job_id}".encode()
    assert (await place.commit(first["session_token"], chunk(0, content=rows), rows)).status_code == 200
    await place.services.store.put(f"{results_prefix(job_id)}0/00000001-e2-stored", f"chunk 1 of {job_id}".encode())
    return Stranger("working", job_id, "working", (early["session_token"],))


async def _cancelled(place: Gateway) -> Stranger:
    job_id = await running_job(place, "cancelled", source_bytes=91_000_003)
    claimed = await place.claim(job_id, "stranger-pod-cancelled")
    await place.db.cancelling.request(job_id)
    return Stranger("cancelled", job_id, "cancelled", (claimed["session_token"], place.job_token(job_id)))


async def _replaced(place: Gateway) -> Stranger:
    job_id = await running_job(place, "replaced", source_bytes=91_000_004)
    claimed = await place.claim(job_id, "stranger-pod-replaced-1")
    assert await place.db.schedule.next_attempt(job_id, 1, launch(job_id, 2), blame=True)
    await place.claim(job_id, "stranger-pod-replaced-2", attempt=2)
    return Stranger("replaced", job_id, "replaced", (claimed["session_token"], place.job_token(job_id)))


async def _failed(place: Gateway) -> Stranger:
    warnings = [{"code": JobWarning("truncated", "").code, "message": "A warning that is the stranger's business."}]
    job_id = await running_job(place, "failed", source_bytes=91_000_005, warnings=warnings)
    claimed = await place.claim(job_id, "stranger-pod-failed")
    problem = Problem(ErrorCode.INVALID_VIDEO, "What is wrong with the stranger's video is the stranger's business.")
    assert await place.db.schedule.fail(job_id, 1, problem)
    return Stranger("failed", job_id, "failed", (claimed["session_token"], place.job_token(job_id)))


async def _set(place: Gateway, job_id: UUID, **columns: Any) -> None:
    async with place.db.database.transaction() as session:
        await session.execute(update(JobRow).where(col(JobRow.id) == job_id).values(columns))

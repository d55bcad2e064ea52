"""What unfinished jobs pinned, on a real PostgreSQL: it decides which versions of a model may be deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.support.jobs import PIPELINE, Adapters, adapters
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.ports.jobs import PipelinesInUse


@pytest.fixture
async def stack(postgres_url: str) -> AsyncIterator[Adapters]:
    async with adapters(postgres_url) as made:
        yield made


async def test_without_jobs_nothing_is_in_use(stack: Adapters) -> None:
    assert await stack.reader.pipelines_in_use() == PipelinesInUse((), uploading=False)


async def test_what_waits_or_runs_is_in_use_once_and_until_it_ends(stack: Adapters) -> None:
    first, second = await stack.submit(), await stack.submit()
    assert await stack.reader.pipelines_in_use() == PipelinesInUse((PIPELINE,), uploading=False)
    await stack.run()
    assert await stack.reader.pipelines_in_use() == PipelinesInUse((PIPELINE,), uploading=False)
    for job_id in (first, second):
        assert (await stack.reader.pipelines_in_use()).pipelines == (PIPELINE,)
        assert await stack.schedule.fail(job_id, 1, Problem(ErrorCode.INTERNAL, "over"))
    assert await stack.reader.pipelines_in_use() == PipelinesInUse((), uploading=False)


async def test_an_upload_under_way_is_known_until_it_ends(stack: Adapters) -> None:
    job_id = uuid4()
    await stack.submissions.begin(job_id, container="mp4", source_key=f"videos/{job_id}")
    assert await stack.reader.pipelines_in_use() == PipelinesInUse((), uploading=True)
    await stack.submissions.abandon(job_id, Problem(ErrorCode.UPLOAD_ABORTED, "gone"))
    assert await stack.reader.pipelines_in_use() == PipelinesInUse((), uploading=False)

"""schemathesis writes requests from the OpenAPI document, right ones and wrong ones, and holds every answer against it.

The api, its PostgreSQL and its store are real. The requests are the same in every run. What the document cannot say is said
here: which job there is, which bytes are a video, and that a form which fits the schema may still hold no video.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    PositiveDataAcceptanceConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.core.result import Ok
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import negative_data_rejection

from tests.support.finished_jobs import chunks_of, finished_job, frame
from tests.support.public_api import MP4_HEAD, Api, public_api
from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings

EXAMPLES = 25
"""For each operation and each kind of data, beside those that meet every constraint of the schema once."""
OPERATIONS = (
    "POST /video/submit",
    "GET /video/status/{job_id}",
    "GET /video/results/{job_id}",
    "POST /video/cancel/{job_id}",
    "POST /video/verify/{job_id}",
    "GET /video/verification/{job_id}",
    "GET /pipelines",
)
CAN_BE_WRONG = ("POST /video/submit", "GET /video/results/{job_id}", "POST /video/verify/{job_id}")
"""Any text is an id that a job might have, so a request of the others cannot be wrong, only unlucky."""
NUMBERS = ("frame_stride", "max_frames", "max_workers")
SETTINGS = settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


class Served(NamedTuple):
    url: str
    completed: UUID
    pending: UUID


@asynccontextmanager
async def served(database_url: str, s3: StoreEndpoint) -> AsyncIterator[Served]:
    async with public_api(database_url, store_settings(s3)) as api:
        completed = await _completed(api)
        pending = await api.submit(MP4_HEAD, pipeline_id="yolo_ocr")
        yield Served(api.url, completed, UUID(pending.json()["job_id"]))


async def _completed(api: Api) -> UUID:
    rows = [frame(index, error="decode_error" if index == 3 else None) for index in range(25)]
    return await finished_job(api, chunks_of(rows, 10))


@pytest.fixture(scope="module")
def api(module_postgres_url: str, s3: StoreEndpoint) -> Iterator[Served]:
    """In a thread with a loop of its own, since schemathesis calls from outside of any."""
    ready: Future[Served] = Future()
    stop, loop = asyncio.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        try:
            async with served(module_postgres_url, s3) as there:
                ready.set_result(there)
                await stop.wait()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        yield ready.result(timeout=60)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=30)
        loop.close()


@pytest.fixture(scope="module")
def document(api: Served) -> BaseSchema:
    checks = ChecksConfig(
        # 400: a name that no pipeline has, bytes that are no video. 404: an id that no job has.
        positive_data_acceptance=PositiveDataAcceptanceConfig(expected_statuses=["2xx", "400", "404", "409"]),
    )
    generation = GenerationConfig(deterministic=True, no_shrink=True, database="none")
    project = ProjectConfig(generation=generation, checks=checks)
    config = SchemathesisConfig(seed=1, projects=ProjectsConfig(default=project))
    made = schemathesis.openapi.from_url(f"{api.url}/openapi.json", config=config)

    @made.hook
    def map_path_parameters(_context: object, values: dict[str, object] | None) -> dict[str, object] | None:
        """Two of three ids are those of jobs that there are."""
        if values and isinstance(job_id := values.get("job_id"), str) and len(job_id) % 3:
            values["job_id"] = str((api.completed, api.pending)[len(job_id) % 3 - 1])
        return values

    @made.hook
    def map_body(_context: object, body: object) -> object:
        """One of two forms asks for a pipeline that there is, with bytes that begin a video; what is wrong in it stays so."""
        if isinstance(body, dict) and len(str(body)) % 2:
            good = {"file": MP4_HEAD, "pipeline_id": "yolo_ocr"}
            return {
                name: good.get(name, value) if isinstance(value, str | bytes) else value for name, value in body.items()
            }
        return body

    return made


def operation(document: BaseSchema, label: str) -> APIOperation[Any, Any, Any, Any]:
    found = document.find_operation_by_label(label)
    assert found is not None
    return found


def test_no_operation_is_left_out(document: BaseSchema) -> None:
    assert {found.ok().label for found in document.get_all_operations() if isinstance(found, Ok)} == set(OPERATIONS)


@pytest.mark.parametrize(
    ("mode", "label"),
    [
        *((GenerationMode.POSITIVE, label) for label in OPERATIONS),
        *((GenerationMode.NEGATIVE, label) for label in CAN_BE_WRONG),
    ],
)
def test_every_answer_is_as_the_document_says(document: BaseSchema, mode: GenerationMode, label: str) -> None:
    tried = operation(document, label)

    @SETTINGS
    @given(case=tried.as_strategy(mode))
    def holds(case: Case[Any]) -> None:
        excluded: list[CheckFunction] = [negative_data_rejection] if _is_right_as_text(case.body) else []
        case.call_and_validate(timeout=30, excluded_checks=excluded)

    holds()


def _is_right_as_text(form: object) -> bool:
    """A form has no types: a number where the document wants a text, or the other way round, is the same bytes. And an empty
    list or map is no field at all."""
    if not isinstance(form, dict):
        return False
    sent = {name: value for name, value in form.items() if value not in ([], {})}
    if not {"file", "pipeline_id"} <= set(sent) <= {"file", "pipeline_id", *NUMBERS}:
        return False
    numbers = [str(sent[name]) for name in NUMBERS if name in sent]
    return all(re.fullmatch("[1-9][0-9]*|null|", number) for number in numbers)


@pytest.mark.parametrize("label", OPERATIONS)
def test_each_constraint_of_the_document_is_kept(document: BaseSchema, label: str) -> None:
    tried = operation(document, label)
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    cases = document.iter_coverage_cases(tried, generation_modes=modes, generation_config=document.config.generation)
    for case in islice(cases, 300):
        case.call_and_validate(timeout=30)

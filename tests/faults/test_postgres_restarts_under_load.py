"""PostgreSQL killed and restarted while clients submit, poll and read: nobody meets a 500, and no job is lost or doubled."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.support.clips import numbered_clip
from tests.support.processes import wait_until
from tests.support.stacks import PIPELINE_ID, completed, numbers
from vidette.client import Client
from vidette_local import credentials
from vidette_local.parts.postgres import DATABASE, USER
from vidette_local.stack_process import StackProcess

FRAMES = 40
MOST_JOBS = 10
FAST_SHUTDOWN = signal.SIGINT
PAUSE_S = 0.4
"""After a submission, so that there are some before, during and after each restart."""
FORM = {"pipeline_id": PIPELINE_ID, "max_frames": str(FRAMES)}


class Load:
    """Clients of every route, each asking again and again until told to stop, and everything they were answered."""

    def __init__(self, url: str, clip: Path, finished: UUID) -> None:
        self._url = url
        self._clip = clip.read_bytes()
        self._finished = finished
        self._over = threading.Event()
        self.accepted: list[UUID] = []
        self.answers: Counter[tuple[str, int, str]] = Counter()
        self.wrong: list[str] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        asks = [self._submit, self._submit, self._poll, self._poll, self._read]
        with ThreadPoolExecutor(len(asks)) as pool:
            ends = [pool.submit(self._again_and_again, ask) for ask in asks]
            try:
                yield
            finally:
                self._over.set()
        for end in ends:
            end.result()

    def _again_and_again(self, ask: Callable[[httpx.Client], httpx.Response | None]) -> None:
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as http:
            while not self._over.wait(0.02):
                response = ask(http)
                if response is not None:
                    self._note(response)

    def _note(self, response: httpx.Response) -> None:
        route = response.request.url.path.split("/")[2]
        code = response.headers.get("vidette-error", "")
        self.answers[route, response.status_code, code] += 1
        told_to_come_again = (response.status_code, response.headers.get("retry-after")) == (503, "5")
        if response.status_code != 200 and not told_to_come_again:
            self.wrong.append(f"{route}: {response.status_code} {response.text[:200]}")

    def _submit(self, http: httpx.Client) -> httpx.Response | None:
        if len(self.accepted) >= MOST_JOBS:
            return None
        response = http.post("/video/submit", data=FORM, files={"file": ("clip.mp4", self._clip)})
        if response.status_code == 200:
            self.accepted.append(UUID(response.json()["job_id"]))
        self._over.wait(PAUSE_S)
        return response

    def _poll(self, http: httpx.Client) -> httpx.Response:
        asked = self.accepted[-1] if self.accepted else self._finished
        return http.get(f"/video/status/{asked}")

    def _read(self, http: httpx.Client) -> httpx.Response:
        return http.get(f"/video/results/{self._finished}")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


def jobs_in_the_database(stack: StackProcess) -> dict[UUID, str]:
    """The state of every job that was submitted."""
    password = credentials.load_or_make(stack.home.path / "secrets.json").postgres_password
    host, port = stack.part("postgres")["address"].split(":")

    async def ask() -> dict[UUID, str]:
        connection = await asyncpg.connect(
            host=host, port=port, user=USER, password=password, database=DATABASE, ssl=False, timeout=10
        )
        try:
            rows = await connection.fetch("SELECT id, state::text FROM jobs WHERE pipeline_digest IS NOT NULL")
        finally:
            await connection.close()
        return {row["id"]: row["state"] for row in rows}

    return asyncio.run(ask())


def test_clients_get_an_answer_or_are_told_to_come_again_and_every_accepted_job_completes_once(
    stack: StackProcess, client: Client, clip: Path
) -> None:
    finished = client.submit(clip, PIPELINE_ID)
    completed(client, finished)
    before = jobs_in_the_database(stack)
    load = Load(stack.url, clip, finished)
    with load.running():
        for how in (signal.SIGKILL, FAST_SHUTDOWN):
            time.sleep(1)
            pid = stack.kill_part("postgres", how)
            wait_until(lambda pid=pid: stack.part("postgres")["pid"] not in (pid, None), 30, "PostgreSQL is back")  # type: ignore[misc]  # mypy cannot infer a lambda's default
            wait_until(lambda: stack.part("postgres")["state"] == "ready", 30, "PostgreSQL is ready")
        time.sleep(1)
    assert load.wrong == []
    assert {status for _, status, _ in load.answers} == {200, 503}, load.answers
    assert len(load.accepted) > 2
    for job_id in load.accepted:
        assert numbers(completed(client, job_id)) == [(index, index) for index in range(FRAMES)]
    made = jobs_in_the_database(stack).keys() - before.keys()
    assert made == set(load.accepted), "a job that no client was told of, or one that is lost"

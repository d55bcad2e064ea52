"""What the reflector holds when the API server is silent, forgets, breaks off or answers nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_kube import PATH, ScriptedKube, job, kubeconfig, nothing, refusal, scripted_kube, words
from vidette_core.adapters.kube.connection import KubeConnection
from vidette_core.adapters.kube.projection import JobView, job_view
from vidette_core.adapters.kube.reflector import Pace, Reflector
from vidette_core.ports.errors import Unavailable

QUICK = Pace(silence_s=30.0, stale_s=60.0, first_pause_s=0.01, longest_pause_s=0.05)
LIMIT_S = 5.0


@pytest.fixture
async def kube() -> AsyncIterator[ScriptedKube]:
    async with scripted_kube() as running:
        running.objects = [job(number) for number in range(3)]
        yield running


@asynccontextmanager
async def following(
    kube: ScriptedKube,
    folder: Path,
    pace: Pace = QUICK,
    project: Callable[[dict[str, Any]], JobView | None] = job_view,
) -> AsyncIterator[Reflector[JobView]]:
    connection = await KubeConnection.open(kubeconfig(folder, kube.url), 1.0)
    reflector: Reflector[JobView] = Reflector(connection, PATH, "release=it", project, pace)
    running = asyncio.create_task(reflector.run())
    try:
        yield reflector
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await connection.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not holds():
            await asyncio.sleep(0.005)


def names(reflector: Reflector[JobView]) -> set[str]:
    return {view.name for view in reflector.items()}


async def test_before_the_first_list_nothing_is_known_rather_than_nothing_there(
    kube: ScriptedKube, tmp_path: Path
) -> None:
    kube.instead.append(nothing)
    async with following(kube, tmp_path) as reflector:
        with pytest.raises(Unavailable):
            reflector.items()
        with pytest.raises(Unavailable):
            await reflector.synced(0.1)


async def test_all_pages_are_in_before_any_of_them_shows(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.objects = [job(number) for number in range(1200)]
    kube.page_gate.clear()
    async with following(kube, tmp_path) as reflector:
        await until(lambda: any("continue" in request.query for request in kube.requests))
        with pytest.raises(Unavailable):
            reflector.items()
        kube.page_gate.set()
        await reflector.synced(LIMIT_S)
        assert len(reflector.items()) == 1200


@pytest.mark.parametrize("answer", [refusal(500), refusal(403), refusal(410), words("{}"), words('{"items": []}')])
async def test_a_failed_list_is_never_no_jobs(kube: ScriptedKube, tmp_path: Path, answer: Any) -> None:
    kube.instead.append(answer)
    async with following(kube, tmp_path) as reflector:
        await until(lambda: len(kube.requests) >= 1)
        await reflector.synced(LIMIT_S)
        assert len(reflector.items()) == 3


async def test_events_add_change_and_remove(kube: ScriptedKube, tmp_path: Path) -> None:
    async with following(kube, tmp_path) as reflector:
        await kube.watched()
        await reflector.changed()
        await kube.say("ADDED", job(7, 2))
        await asyncio.wait_for(reflector.changed(), LIMIT_S)
        assert "vidette-7" in names(reflector)
        await kube.say("DELETED", job(0, 3))
        await asyncio.wait_for(reflector.changed(), LIMIT_S)
        assert names(reflector) == {"vidette-1", "vidette-2", "vidette-7"}


async def test_a_change_between_two_waits_is_not_lost(kube: ScriptedKube, tmp_path: Path) -> None:
    async with following(kube, tmp_path) as reflector:
        await kube.watched()
        await reflector.changed()
        await kube.say("ADDED", job(7, 2))
        await until(lambda: "vidette-7" in names(reflector))
        await asyncio.wait_for(reflector.changed(), 0.1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reflector.changed(), 0.1)


async def test_a_watch_that_breaks_off_in_a_line_goes_on_where_it_was(kube: ScriptedKube, tmp_path: Path) -> None:
    async with following(kube, tmp_path) as reflector:
        await kube.watched()
        await kube.say("BOOKMARK", {"metadata": {"resourceVersion": "40"}})
        await kube.write(b'{"type": "ADDED", "obj')
        await asyncio.sleep(0.1)
        kube.break_off()
        await until(lambda: len(kube.watches) >= 2)
        assert kube.watches[1].query["resourceVersion"] == "40"
        assert kube.lists == 1
        assert len(reflector.items()) == 3


async def test_a_silent_watch_is_opened_anew(kube: ScriptedKube, tmp_path: Path) -> None:
    async with following(kube, tmp_path, Pace(silence_s=0.1, first_pause_s=0.01, longest_pause_s=0.05)):
        await until(lambda: len(kube.watches) >= 3)
        assert kube.lists == 1
        assert kube.watches[0].query["allowWatchBookmarks"] == "true"


@pytest.mark.parametrize("as_an_event", [True, False])
async def test_a_server_that_forgot_is_listed_anew_and_what_went_meanwhile_is_gone(
    kube: ScriptedKube, tmp_path: Path, as_an_event: bool
) -> None:
    async with following(kube, tmp_path) as reflector:
        await kube.watched()
        kube.objects = [job(2), job(9)]
        if as_an_event:
            await kube.say("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
        else:
            kube.instead.append(refusal(410))
            kube.break_off()
        await until(lambda: names(reflector) == {"vidette-2", "vidette-9"})
        assert kube.lists == 2


async def test_while_a_relist_comes_in_nothing_is_missing(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.objects = [job(number) for number in range(600)]
    async with following(kube, tmp_path) as reflector:
        await kube.watched()
        kube.page_gate.clear()
        kube.objects = [job(number) for number in range(550)]
        await kube.say("ERROR", {"code": 410})
        await until(lambda: sum("continue" in request.query for request in kube.requests) == 2)
        assert len(reflector.items()) == 600
        kube.page_gate.set()
        await until(lambda: len(reflector.items()) == 550)


async def test_what_is_too_old_is_unavailable_and_comes_back(kube: ScriptedKube, tmp_path: Path) -> None:
    pace = Pace(silence_s=0.1, stale_s=0.3, first_pause_s=0.01, longest_pause_s=0.05)
    async with following(kube, tmp_path, pace) as reflector:
        await kube.watched()
        kube.instead.extend([refusal(503)] * 30)
        kube.break_off()
        await asyncio.sleep(0.5)
        with pytest.raises(Unavailable):
            reflector.items()
        kube.instead.clear()
        await reflector.changed()
        await asyncio.wait_for(reflector.changed(), LIMIT_S)
        assert len(reflector.items()) == 3


async def test_a_server_in_trouble_is_asked_less_and_less(kube: ScriptedKube, tmp_path: Path) -> None:
    kube.instead.extend([refusal(403)] * 100)
    async with following(kube, tmp_path, Pace(first_pause_s=0.05, longest_pause_s=30.0)):
        await asyncio.sleep(1.5)
        assert 2 <= len(kube.requests) <= 6


async def test_all_is_listed_anew_now_and_then_whatever_the_watch_said(kube: ScriptedKube, tmp_path: Path) -> None:
    async with following(kube, tmp_path, Pace(relist_s=(0.1, 0.2), first_pause_s=0.01)) as reflector:
        await kube.watched()
        kube.objects = [job(5)]
        await asyncio.sleep(0.3)
        await kube.say("BOOKMARK", {"metadata": {"resourceVersion": "2"}})
        await until(lambda: names(reflector) == {"vidette-5"})


async def test_an_object_that_cannot_be_read_hides_no_other(kube: ScriptedKube, tmp_path: Path) -> None:
    def picky(raw: dict[str, Any]) -> JobView | None:
        if raw["metadata"]["name"] == "vidette-1":
            raise RuntimeError("nobody foresaw this")
        return job_view(raw)

    async with following(kube, tmp_path, project=picky) as reflector:
        await kube.watched()
        await kube.say("ADDED", {"kind": "Job"})
        await kube.say("ADDED", job(4, 2))
        await until(lambda: names(reflector) == {"vidette-0", "vidette-2", "vidette-4"})

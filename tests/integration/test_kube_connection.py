"""What the API server answers, or does not, becomes one of the ports' errors, in the server's words and without credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.network import silent_port
from tests.support.scripted_kube import PATH, TOKEN, ScriptedKube, kubeconfig, refusal, scripted_kube, words
from vidette_core.adapters.kube.connection import Gone, KubeConnection
from vidette_core.ports.errors import Conflict, NotFound, PortError, Rejected, Unavailable


@pytest.fixture
async def kube() -> AsyncIterator[ScriptedKube]:
    async with scripted_kube() as running:
        yield running


@pytest.fixture
async def connection(kube: ScriptedKube, tmp_path: Path) -> AsyncIterator[KubeConnection]:
    opened = await KubeConnection.open(kubeconfig(tmp_path, kube.url), 1.0)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Rejected),
        (401, Unavailable),
        (403, Rejected),
        (404, NotFound),
        (409, Conflict),
        (410, Gone),
        (422, Rejected),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
async def test_each_status_becomes_its_error_with_the_servers_words(
    kube: ScriptedKube, connection: KubeConnection, status: int, expected: type[PortError]
) -> None:
    kube.instead.append(refusal(status, "the quota of team-a is used up"))
    with pytest.raises(PortError, match="the quota of team-a is used up") as caught:
        await connection.get(PATH, {})
    assert type(caught.value) is expected


async def test_a_quota_that_was_counted_by_two_at_once_is_no_conflict_over_the_name(
    kube: ScriptedKube, connection: KubeConnection
) -> None:
    words = 'Operation cannot be fulfilled on resourcequotas "all": the object has been modified'
    kube.instead.append(refusal(409, words))
    with pytest.raises(Unavailable, match="resourcequotas"):
        await connection.post(PATH, {})


async def test_the_token_is_sent_and_never_told(kube: ScriptedKube, connection: KubeConnection) -> None:
    kube.instead.append(refusal(403, f"you sent Bearer {TOKEN}"))
    with pytest.raises(Rejected) as caught:
        await connection.get(PATH, {})
    assert kube.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in str(caught.value)


async def test_a_long_message_is_shortened(kube: ScriptedKube, connection: KubeConnection) -> None:
    kube.instead.append(refusal(422, "x" * 100_000))
    with pytest.raises(Rejected) as caught:
        await connection.get(PATH, {})
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("text", ["", "<html>", "[]", '{"half":'])
async def test_an_answer_that_is_no_object_is_unavailable(
    kube: ScriptedKube, connection: KubeConnection, text: str
) -> None:
    kube.instead.append(words(text))
    with pytest.raises(Unavailable):
        await connection.get(PATH, {})


async def test_a_server_that_says_nothing_is_unavailable_within_the_limit(tmp_path: Path) -> None:
    async with silent_port() as address:
        connection = await KubeConnection.open(kubeconfig(tmp_path, f"http://{address}"), 0.2)
        with pytest.raises(Unavailable):
            await connection.get(PATH, {})
        with pytest.raises(Unavailable):
            await anext(connection.watch(PATH, {}, 0.2))
        await connection.close()


async def test_nobody_listening_is_unavailable(tmp_path: Path) -> None:
    connection = await KubeConnection.open(kubeconfig(tmp_path, "http://127.0.0.1:1"), 1.0)
    with pytest.raises(Unavailable):
        await connection.post(PATH, {"kind": "Job"})
    await connection.close()


async def test_an_endless_event_is_cut_off(kube: ScriptedKube, connection: KubeConnection) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 2**18)

    kube.instead.append(endless)
    with pytest.raises(Unavailable, match="bytes"):
        await anext(connection.watch(PATH, {}, 5.0))


@pytest.mark.parametrize("text", ["", "{", "apiVersion: v1\nkind: Config\n"])
async def test_a_kubeconfig_that_says_nothing_is_unavailable(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(Unavailable):
        await KubeConnection.open(path, 1.0)


async def test_outside_of_a_cluster_there_is_no_service_account() -> None:
    with pytest.raises(Unavailable):
        await KubeConnection.open(None, 1.0)

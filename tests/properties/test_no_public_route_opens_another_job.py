"""No public route opens another tenant's job, and none mixes two jobs of one tenant, wherever an id, a cursor or a token is put.

There is no authentication yet: whoever knows a job's id may follow it at the api of its tenant. Everywhere else it is as unknown
as a job that never was, by the same answer to the same request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.app_routes import routes_of
from tests.support.finished_jobs import chunks_of, finished_job, frame
from tests.support.public_api import MP4_HEAD, Api
from tests.support.servers import StoreEndpoint
from tests.support.strangers import Scene, possessions, scene_of
from vidette_api.public.app import public_app
from vidette_api.public.paging import cursor_at

pytestmark = pytest.mark.timeout(400)  # examples make hundreds of requests
WITH_AN_ID = {
    ("GET", "/video/status/{job_id}"),
    ("GET", "/video/results/{job_id}"),
    ("POST", "/video/cancel/{job_id}"),
    ("POST", "/video/verify/{job_id}"),
    ("GET", "/video/verification/{job_id}"),
}
SUBMIT = ("POST", "/video/submit")
FOR_ALL = {
    ("GET", path)
    for path in ("/pipelines", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc", "/healthz", "/readyz")
}
SPELLINGS: dict[str, Callable[[UUID], str]] = {
    "as it is": str,
    "in capitals": lambda job_id: str(job_id).upper(),
    "without hyphens": lambda job_id: job_id.hex,
    "in braces": lambda job_id: quote(f"{{{job_id}}}"),
    "as a urn": lambda job_id: f"urn:uuid:{job_id}",
    "with an end": lambda job_id: f"{job_id}%00",
    "with a slash": lambda job_id: f"{job_id}/",
    "behind another": lambda job_id: f"{uuid4()}/../{job_id}",
    "quoted": lambda job_id: f"%22{job_id}%22",
}
QUERIES: dict[str, Callable[[UUID], dict[str, Any]]] = {
    "none": lambda _: {},
    "its cursor": lambda job_id: {"cursor": cursor_at(job_id, 10)},
    "its first cursor": lambda job_id: {"cursor": cursor_at(job_id, 0), "limit": 5},
    "its id": lambda job_id: {"job_id": str(job_id)},
    "its tenant": lambda _: {"tenant": "theirs"},
    "its key": lambda job_id: {"key": f"sources/{job_id}", "cursor": str(job_id)},
}
HEADERS: dict[str, Callable[[UUID, str], dict[str, str]]] = {
    "none": lambda *_: {},
    "ndjson": lambda *_: {"Accept": "application/x-ndjson"},
    "a worker's token": lambda _, token: {"Authorization": f"Bearer {token}"},
    "another tenant": lambda *_: {"X-Tenant": "theirs", "Vidette-Tenant": "theirs", "Host": "theirs"},
    "where it was": lambda job_id, _: {"X-Original-URL": f"/video/results/{job_id}", "Referer": f"/video/{job_id}"},
    "if it is": lambda job_id, _: {"If-Match": f'"{job_id}"', "If-None-Match": "*", "If-Range": f'"{job_id}"'},
    "a part": lambda *_: {"Range": "bytes=0-99"},
    "a cookie": lambda job_id, token: {"Cookie": f"job_id={job_id}; token={token}"},
}


@pytest.fixture(scope="module")
def scene(module_postgres_url: str, s3: StoreEndpoint) -> Iterator[Scene]:
    with scene_of(module_postgres_url, s3) as made:
        yield made


@dataclass(frozen=True, slots=True)
class Ask:
    route: tuple[str, str]
    spelling: str
    query: str
    headers: str
    number: int

    async def of(self, api: Api, path_id: UUID, other: UUID, token: str) -> httpx.Response:
        """Ask for one job, with another one's things beside it."""
        method, path = self.route
        url = f"{path.partition('{')[0]}{SPELLINGS[self.spelling](path_id)}"
        return await api.client.request(
            method, url, params=QUERIES[self.query](other), headers=HEADERS[self.headers](other, token)
        )


ASKS = st.builds(
    Ask,
    st.sampled_from(sorted(WITH_AN_ID)),
    st.sampled_from(list(SPELLINGS)),
    st.sampled_from(list(QUERIES)),
    st.sampled_from(list(HEADERS)),
    st.integers(0, 2**16),
)
FEW = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])


def test_every_public_route_is_tried_here(scene: Scene) -> None:
    assert routes_of(public_app(scene.mine.services)) == WITH_AN_ID | {SUBMIT} | FOR_ALL


@given(asks=st.lists(ASKS, min_size=8, max_size=16))
@FEW
def test_another_tenants_job_is_as_unknown_as_none(scene: Scene, asks: list[Ask]) -> None:
    async def ask_all() -> None:
        before = await possessions(scene.place, scene.owners)
        for ask in asks:
            stranger = list(scene.others.values())[ask.number % len(scene.others)]
            nobody = uuid4()
            token = (*stranger.stale, scene.place.job_token(stranger.id))[0]
            hers = await ask.of(scene.mine, stranger.id, stranger.id, token)
            nobodys = await ask.of(scene.mine, nobody, nobody, token)
            assert not hers.is_success, ask
            assert as_told(hers) == as_told(nobodys), ask
            shown = hers.text + str(hers.headers)
            assert [word for word in before.secrets(stranger.id) - {str(stranger.id)} if word in shown] == []
        assert (await possessions(scene.place, scene.owners)).changed_since(before) == []

    scene.runner.run(ask_all())


def as_told(answer: httpx.Response) -> tuple[int, bytes, str | None]:
    return answer.status_code, answer.content, answer.headers.get("vidette-error")


async def completed(api: Api, word: str) -> UUID:
    rows = [frame(index) for index in range(20)]
    for row in rows:
        row["result"]["text"] = word
    return await finished_job(api, chunks_of(rows, 10))


@pytest.fixture(scope="module")
def two_jobs(scene: Scene) -> tuple[UUID, UUID]:
    """Of one tenant, both completed."""
    own, second = (scene.runner.run(completed(scene.mine, word)) for word in ("own words", "words of the second"))
    return own, second


@given(asks=st.lists(ASKS, min_size=8, max_size=16))
@FEW
def test_ones_own_results_with_anothers_things_beside_are_ones_own_or_none(
    scene: Scene, two_jobs: tuple[UUID, UUID], asks: list[Ask]
) -> None:
    """The other one is of another tenant, or a second of one's own."""
    own, second = two_jobs

    async def ask_all() -> None:
        before = await possessions(scene.place, {*scene.owners, own, second})
        for ask in asks:
            other = (second, scene.others["completed"].id)[ask.number % 2]
            route = ("GET", "/video/results/{job_id}") if ask.number % 3 else ("GET", "/video/status/{job_id}")
            answer = await Ask(route, "as it is", ask.query, ask.headers, 0).of(scene.mine, own, other, "x")
            hidden = before.secrets(other) | {"words of the second", "read in a video of theirs"}
            shown = answer.text + str(answer.headers)
            assert [word for word in hidden if word in shown] == [], ask
            if "cursor" in QUERIES[ask.query](other) and "results" in route[1]:
                assert answer.status_code == 400, ask
        assert (await possessions(scene.place, {*scene.owners, own, second})).changed_since(before) == []

    scene.runner.run(ask_all())


def test_a_submission_that_names_another_job_is_refused_or_a_job_of_its_own(scene: Scene) -> None:
    async def submit_all() -> None:
        before = await possessions(scene.place, scene.owners)
        for stranger in (scene.others[what] for what in ("completed", "working")):
            for name in ("job_id", "id", "source_key", "tenant", "verifies"):
                refused = await scene.mine.submit(MP4_HEAD, pipeline_id="ocr", **{name: str(stranger.id)})
                assert refused.status_code == 400, name
            for headers in (make(stranger.id, "x") for make in HEADERS.values()):
                await _own_job(scene, stranger.id, headers)
        after = await possessions(scene.place, scene.owners)
        new = {key for key in after.objects if key not in before.objects}
        assert {
            what for what in after.changed_since(before) if any(str(owner) in what for owner in scene.owners)
        } == set()
        assert all(key.startswith("sources/") for key in new)

    scene.runner.run(submit_all())


async def _own_job(scene: Scene, other: UUID, headers: dict[str, str]) -> None:
    """Under the other's file name, with something of the other's in the headers; cancelled, so that nobody starts it."""
    files = [("file", (f"../{other}", MP4_HEAD)), ("pipeline_id", (None, b"ocr"))]
    params = {"job_id": str(other)}
    answer = await scene.mine.client.post(SUBMIT[1], files=files, params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    job_id = answer.json()["job_id"]
    row = await scene.mine.row(job_id)
    assert row is not None
    assert (row.id != other, row.source_key, row.tenant) == (True, f"sources/{job_id}", "default")
    assert (await scene.mine.client.post(f"/video/cancel/{job_id}")).status_code == 200


def test_every_route_answers_whom_it_is_for(scene: Scene) -> None:
    """Or all the refusals above would prove nothing: the owner's own api shows what it does not show to others."""

    async def ask_all() -> None:
        own = scene.others["completed"].id
        for method, path in sorted(FOR_ALL):
            assert (await scene.mine.client.request(method, path)).status_code == 200, path
        for path in ("status", "results"):
            assert (await scene.theirs.client.get(f"/video/{path}/{own}")).status_code == 200
        submitted = await scene.theirs.submit(MP4_HEAD, pipeline_id="ocr")
        assert (await scene.theirs.client.post(f"/video/cancel/{submitted.json()['job_id']}")).status_code == 200
        answer = await scene.theirs.client.post(f"/video/verify/{own}")
        assert answer.status_code == 200
        again = answer.json()["job_id"]
        unfinished = await scene.theirs.client.get(f"/video/verification/{again}")
        unknown = await scene.mine.client.get(f"/video/verification/{again}")
        assert unfinished.headers["vidette-error"] == "not_completed"
        assert unknown.headers["vidette-error"] == "not_found"
        assert (await scene.theirs.client.post(f"/video/cancel/{again}")).status_code == 200

    scene.runner.run(ask_all())

"""No token opens another job: none of the wrong kind, attempt, epoch or key, and no good one with others' ids beside it.

A thief has a job of their own, with all the tokens that it was ever given, tokens of others that were good once, and everything
that can be made of both without the installation's key. What they try goes to every route that the gateway's app has, with ids
of others in every place. Whether a token counts is asked of the rows, before each try. Nobody else's job may be seen or changed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.app_routes import routes_of
from tests.support.gateway import COMMIT, CONTENT, INDEX, Gateway, chunk
from tests.support.jobs import CHUNK_FRAMES
from tests.support.servers import StoreEndpoint
from tests.support.services import SECRET
from tests.support.spoilt_tokens import claims_of, signed, without_key
from tests.support.strangers import Possessions, Scene, Stranger, possessions, running_job, scene_of
from tests.support.thieves import EVENTS, Thief, thief_after
from vidette_api.gateway.app import gateway_app
from vidette_core.adapters.postgres.schema import JobRow, SegmentRow
from vidette_core.domain.jobs import JobState, SegmentState

pytestmark = pytest.mark.timeout(400)  # examples make hundreds of requests
CLAIM, WRITE, OPEN = "the job token", "the session token", "nobody's"
OVER = b'{"answer":{"kind":"over"}}'
"""What a token is told whose attempt is over: the same, whether or not there is such a job."""
ROUTES: dict[tuple[str, str], tuple[str, dict[str, Any] | None]] = {
    ("POST", "/v1/claim"): (CLAIM, {"pod": "thief-0"}),
    ("GET", "/v1/source"): (WRITE, None),
    ("POST", "/v1/plan"): (WRITE, INDEX),
    ("POST", "/v1/replan"): (WRITE, None),
    ("POST", "/v1/renew"): (WRITE, {"samples": 1}),
    ("POST", COMMIT): (WRITE, chunk(0)),
    ("POST", "/v1/finish"): (WRITE, {"end_sample": CHUNK_FRAMES}),
    ("POST", "/v1/report"): (WRITE, {"code": "invalid_video", "message": "No readable index."}),
    ("GET", "/healthz"): (OPEN, None),
    ("GET", "/readyz"): (OPEN, None),
    ("GET", "/metrics"): (OPEN, None),
}
"""Every route, whose token it is for, and a body that it takes."""
SPOILT = without_key(SECRET)
NAMES = ("job_id", "id", "sub", "segment", "epoch", "attempt", "key", "source_key", "cursor", "token", "first_sample")
EXTRAS = ("nothing", "path", "query", "field", "value", "header", "cookie", "if-match", "second authorization")


@dataclass(frozen=True, slots=True)
class Try:
    """What the thief does once. Numbers are taken modulo how many there are to choose from."""

    route: tuple[str, str]
    whose: str
    """A name of `SPOILT`, or `as it is`."""
    stolen: bool
    """Whether it starts from a token of a stranger's, which is never one in force."""
    extra: str
    number: int


TRIES = st.builds(
    Try,
    st.sampled_from(list(ROUTES)),
    st.one_of(st.just("as it is"), st.sampled_from(sorted(SPOILT))),
    st.booleans(),
    st.sampled_from(EXTRAS),
    st.integers(0, 2**16),
)


@pytest.fixture(scope="module")
def scene(module_postgres_url: str, s3: StoreEndpoint) -> Iterator[Scene]:
    with scene_of(module_postgres_url, s3) as made:
        yield made


def test_every_route_of_the_gateway_is_tried_here(scene: Scene) -> None:
    assert routes_of(gateway_app(scene.place.services)) == set(ROUTES)


def test_every_route_answers_whom_it_is_for(scene: Scene) -> None:
    """Or all the refusals below would prove nothing."""
    served = scene.runner.run(rightful(scene.place))
    assert served.keys() == set(ROUTES)
    assert {status // 100 for status in served.values()} == {2}, served


async def rightful(place: Gateway) -> dict[tuple[str, str], int]:
    """Each route asked by the holder of the token for it, and its status."""
    served: dict[tuple[str, str], int] = {}

    async def ask(path: str, token: str, method: str = "POST", body: dict[str, Any] | None = None) -> httpx.Response:
        answer = await place.call(method, path, token, body or ROUTES[method, path][1])
        served[method, path] = answer.status_code
        return answer

    async def hold() -> str:
        job_id = await running_job(place, f"rightful-{uuid4()}")
        answer = await ask("/v1/claim", place.job_token(job_id))
        token: str = answer.json()["answer"]["session_token"]
        return token

    one, split, broken = await hold(), await hold(), await hold()
    await ask("/v1/source", one, "GET")
    await ask("/v1/plan", one, body={**INDEX, "frames": CHUNK_FRAMES})
    await ask("/v1/renew", one)
    await ask(COMMIT, one)
    await ask("/v1/finish", one)
    await ask("/v1/plan", split)
    await ask("/v1/replan", split)
    await ask("/v1/report", broken)
    for method, path in [route for route, (needed, _) in ROUTES.items() if needed == OPEN]:
        await ask(path, "", method)
    return served


async def counts(place: Gateway, token: str, needed: str, body: dict[str, Any] | None) -> bool:
    """Whether a rightly signed token is good for a route that needs the one or the other kind, by what the rows say."""
    claims = claims_of(token)
    if (claims["aud"] == "vidette:claim") != (needed == CLAIM):
        return False
    async with place.db.database.transaction() as session:
        job = await session.get(JobRow, UUID(claims["sub"]))
        if needed == CLAIM:
            running = job is not None and job.state is JobState.RUNNING and job.cancel_requested_at is None
            return running and job is not None and job.attempt == claims["attempt"]
        segment = await session.get(SegmentRow, (UUID(claims["sub"]), claims["segment"]))
    if segment is None or job is None or segment.epoch != claims["epoch"]:
        return False
    if body and body.get("end_sample") == segment.end_sample:
        return True  # it has said so before, and is told once more that it was heard
    return job.state is JobState.RUNNING and segment.state is SegmentState.OPEN


def request_of(attempt: Try, authorization: str | None, stranger: Stranger, known: Possessions) -> httpx.Request:
    """As the thief sends it, with something of the stranger's in one of the places where a request can hold it."""
    method, path = attempt.route
    _, body = ROUTES[attempt.route]
    name = NAMES[attempt.number % len(NAMES)]
    words = sorted(known.secrets(stranger.id))
    word = words[attempt.number % len(words)]
    query: dict[str, Any] = {}
    headers = [("Authorization", authorization)] if authorization is not None else []
    match attempt.extra:
        case "path":
            path = f"{path}/{stranger.id}" if attempt.number % 2 else f"/{stranger.id}{path}"
        case "query":
            query = {name: word, "job_id": str(stranger.id)}
        case "field":
            body = {**(body or {}), name: word}
        case "value":
            body = {**body, **_values(known, stranger, body)} if body else {name: word}
        case "header":
            headers += [("X-Job-Id", str(stranger.id)), ("X-Original-URL", f"/v1/{word}"), ("Range", "bytes=0-9")]
        case "cookie":
            headers += [("Cookie", f"token={stranger.stale[0] if stranger.stale else word}; job_id={stranger.id}")]
        case "if-match":
            headers += [(each, f'"{word}"') for each in ("If-Match", "If-None-Match", "If-Range")]
        case "second authorization":
            headers += [("Authorization", f"Bearer {stale}") for stale in stranger.stale]
    content, kind = b"" if body is None else json.dumps(body).encode(), "application/json"
    if path.endswith(COMMIT):
        query, content, kind = {**query, **(body or {})}, CONTENT, "application/zstd"
    headers.append(("Content-Type", kind))
    encoded = [(each.encode(), value.encode()) for each, value in headers]
    return httpx.Request(method, f"http://gateway{path}", params=query, headers=encoded, content=content)


def _values(known: Possessions, stranger: Stranger, body: dict[str, Any]) -> dict[str, Any]:
    """What the stranger's rows have for fields of the body."""
    found: dict[str, Any] = {"pod": "stranger-pod-working-0", "samples": CHUNK_FRAMES, "first_sample": CHUNK_FRAMES}
    for table, row in known.rows[stranger.id]:
        if table == "chunks":
            found |= {name: row[name] for name in ("first_sample", "sha256")}
        if table == "jobs":
            found |= {"frames": row["expected_samples"] or 1, "message": row["error_message"] or "x"}
    return {name: value for name, value in found.items() if name in body}


def shows_none_of(hidden: Collection[str], answer: httpx.Response, request: httpx.Request) -> None:
    """But for words that the request brought itself."""
    sent = " ".join([unquote(str(request.url)), *request.headers.values(), request.content.decode()])
    shown = unquote(" ".join([answer.text, *answer.headers.values()]))
    assert [word for word in hidden if word in shown and word not in sent] == [], (answer.status_code, answer.text)


@given(
    events=st.lists(st.sampled_from(EVENTS), max_size=6),
    tries=st.lists(TRIES, min_size=6, max_size=12),
    number=st.integers(0, 11),
)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_nothing_of_another_job_is_seen_or_changed(
    scene: Scene, events: list[str], tries: list[Try], number: int
) -> None:
    scene.runner.run(steal(scene, ["claim", *events], tries, number))


async def steal(scene: Scene, events: list[str], tries: list[Try], number: int) -> None:
    place, thief = scene.place, await thief_after(scene.place, events, number)
    before = await possessions(place, scene.owners)
    hidden = set[str]().union(*(before.secrets(owner) for owner in before.rows if owner != thief.job_id))
    for attempt in tries:
        stranger = list(scene.others.values())[attempt.number % len(scene.others)]
        good = stranger.stale if attempt.stolen and stranger.stale else thief.tokens(place)
        token = good[attempt.number % len(good)]
        as_it_is = attempt.whose == "as it is"
        sent = f"Bearer {token}" if as_it_is else SPOILT[attempt.whose](token, attempt.number)
        needed, body = ROUTES[attempt.route]
        request = request_of(attempt, sent, stranger, before)
        body = json.loads(request.content) if request.content not in (b"", CONTENT) else None
        may = needed == OPEN or (as_it_is and await counts(place, token, needed, body))
        answer = await place.http.send(request)
        shows_none_of(hidden, answer, request)
        if answer.is_success and not (needed == CLAIM and as_it_is and answer.content == OVER):
            assert may, (attempt, answer.text)
            _is_addressed_to(answer, thief)
        elif not answer.is_success:
            _is_refused_well(answer)
            if not as_it_is and attempt.extra != "second authorization":
                await _knows_no_more_than_of_nobody(place, attempt, token, request, answer)
    after = await possessions(place, scene.owners)
    assert after.changed_since(before, but_of=thief.job_id) == []


def _is_refused_well(answer: httpx.Response) -> None:
    assert answer.status_code in (400, 401, 404, 409, 503), answer.text
    assert answer.headers["vidette-error"]
    assert list(answer.json()) == ["detail"]


def _is_addressed_to(answer: httpx.Response, thief: Thief) -> None:
    """An address in an answer is one of the thief's own objects, and a claim is of the thief's own job."""
    said = answer.json() if answer.headers.get("content-type") == "application/json" and answer.content else {}
    if "url" in said:
        path = urlsplit(said["url"]).path
        assert path.endswith(f"/sources/{thief.job_id}"), path
    if said.get("answer", {}).get("kind") == "segment":
        assert said["answer"]["job_id"] == str(thief.job_id)
        assert claims_of(said["answer"]["session_token"])["sub"] == str(thief.job_id)


async def _knows_no_more_than_of_nobody(
    place: Gateway, attempt: Try, token: str, request: httpx.Request, answer: httpx.Response
) -> None:
    """The same with a job that never was is answered the same."""
    nobodys = signed({**claims_of(token), "sub": str(uuid4())}, SECRET)
    sent = SPOILT[attempt.whose](nobodys, attempt.number)
    headers = [(name, value) for name, value in request.headers.raw if value != _first_authorization(request)]
    headers = ([(b"Authorization", sent.encode())] if sent is not None else []) + headers
    twin = httpx.Request(request.method, request.url, headers=headers, content=request.content)
    other = await place.http.send(twin)
    assert (other.status_code, other.content) == (answer.status_code, answer.content)


def _first_authorization(request: httpx.Request) -> bytes | None:
    return next((value for name, value in request.headers.raw if name.lower() == b"authorization"), None)

"""No presigned address opens another object: nothing that is changed in one makes it good for anything but its own object.

The address is the one that the gateway gives a worker to read its video. Strangers' videos and chunks lie in the same bucket, and
the thief knows their keys. A store may answer what it likes, as long as nothing of theirs is shown or changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings
from tests.support.strangers import Scene, possessions, running_job, scene_of
from tests.support.tarballs import tarball
from vidette_core.adapters.s3 import S3BlobStore
from vidette_core.domain.chunks import source_key
from vidette_core.settings import StoreSettings

pytestmark = pytest.mark.timeout(400)  # examples make hundreds of requests
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
PATHS = {
    "its own": "{own}",
    "theirs": "{theirs}",
    "theirs behind its own": "{own}/../../{theirs}",
    "the same, written otherwise": "{own}/%2e%2e/%2e%2e/{theirs}",
    "theirs before its own": "{theirs}/../../{own}",
    "with slashes written otherwise": "{theirs%2F}",
    "with a slash twice": "/{theirs}",
    "with a slash at its end": "{theirs}/",
    "the folder": "sources/",
    "the bucket": "",
}
QUERIES = {
    "as signed": "",
    "a longer life": "X-Amz-Expires=604800",
    "another day": "X-Amz-Date=20300101T000000Z",
    "another user": "X-Amz-Credential=somebody%2F20300101%2Fus-east-1%2Fs3%2Faws4_request",
    "no header signed": "X-Amz-SignedHeaders=",
    "another signature": f"X-Amz-Signature={'0' * 64}",
    "a list": "list-type=2&prefix=sources%2F",
    "all uploads": "uploads",
    "a part": "partNumber=1&uploadId=x",
    "its rights": "acl",
    "its versions": "versions",
    "to be deleted": "delete",
    "another type": "response-content-type=text%2Fhtml",
    "another key": "key={theirs}",
}
"""What is put behind the query as it was signed, or in place of its parameter of that name."""
UNSIGNED: dict[str, dict[str, str]] = {
    "a copy of theirs": {"x-amz-copy-source": "/{bucket}/{theirs}"},
    "an archive that unpacks itself": {"x-amz-meta-snowball-auto-extract": "true"},
    "rights for all": {"x-amz-acl": "public-read"},
    "words about it": {"x-amz-meta-owner": "thief"},
}
"""Some stores heed headers `x-amz-…` that were not signed (docs/stores.md). With an address to write that would be a way to
objects of others, but there is none."""
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Range": "bytes=0-3"},
    {"X-Original-URL": "/{bucket}/{theirs}"},
    {"X-HTTP-Method-Override": "DELETE"},
    {"If-Match": '"{digest}"'},
    *UNSIGNED.values(),
)


@dataclass(frozen=True, slots=True)
class Change:
    method: str | None
    path: str
    query: str
    instead: bool
    headers: dict[str, str]
    number: int


CHANGES = st.builds(
    Change,
    st.one_of(st.none(), st.sampled_from(METHODS)),
    st.sampled_from(list(PATHS)),
    st.sampled_from(list(QUERIES)),
    st.booleans(),
    st.sampled_from(HEADERS),
    st.integers(0, 2**16),
)


@pytest.fixture(scope="module")
def scene(module_postgres_url: str, s3: StoreEndpoint) -> Iterator[Scene]:
    with scene_of(module_postgres_url, s3) as made:
        yield made


@dataclass(frozen=True, slots=True)
class Given:
    address: str
    video: bytes


async def given_out(scene: Scene, tenant: str) -> Given:
    place = scene.place
    job_id = await running_job(place, tenant)
    token = (await place.claim(job_id))["session_token"]
    address = (await place.call("GET", "/v1/source", token)).json()["url"]
    return Given(address, await place.services.store.get(source_key(job_id), 2**20))


def changed(address: str, change: Change, theirs: str) -> bytes:
    """The target of the request, byte for byte: a client would tidy the path up."""
    parts = urlsplit(address)
    _, bucket, own = parts.path.split("/", 2)
    path = PATHS[change.path].replace("{theirs%2F}", quote(theirs, safe=""))
    path = path.replace("{own}", own).replace("{theirs}", theirs)
    extra, query = QUERIES[change.query].replace("{theirs}", quote(theirs, safe="")), parts.query.split("&")
    name = extra.partition("=")[0]
    if change.instead and extra:
        query = [each for each in query if each.partition("=")[0] != name]
    return f"/{bucket}/{path}?{'&'.join([*query, *([extra] if extra else [])])}".encode()


@given(changes=st.lists(CHANGES, min_size=8, max_size=16))
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_an_address_that_was_changed_shows_and_changes_nothing_of_others(scene: Scene, changes: list[Change]) -> None:
    scene.runner.run(try_all(scene, changes))


async def try_all(scene: Scene, changes: list[Change]) -> None:
    own = await given_out(scene, f"thief-{time.monotonic_ns()}")
    before = await possessions(scene.place, scene.owners)
    keys = sorted(key for key in before.objects if any(str(owner) in key for owner in scene.owners))
    secrets = [await scene.place.services.store.get(key, 2**20) for key in keys]
    archive = tarball(**dict.fromkeys(keys, b"spoilt"))
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for change in changes:
            theirs = keys[change.number % len(keys)]
            words = {"bucket": urlsplit(own.address).path.split("/")[1], "theirs": theirs}
            words["digest"] = before.objects[theirs]
            answer = await client.request(
                change.method or "GET",
                own.address,
                headers={name: value.format(**words) for name, value in change.headers.items()},
                content=archive if change.method in ("PUT", "POST") else b"",
                extensions={"target": changed(own.address, change, theirs)},
            )
            assert not any(secret in answer.content for secret in secrets), change
            assert not any(key in answer.text for key in keys if key != theirs), "nobody is told what else there is"
            if answer.is_success and answer.request.method == "GET":
                assert answer.content in (own.video, own.video[:4]), change
    assert (await possessions(scene.place, scene.owners)).changed_since(before) == []


def test_an_address_as_it_was_given_reads_the_video_and_lives_as_long_as_the_setting_says(scene: Scene) -> None:
    own = scene.runner.run(given_out(scene, "honest"))
    with httpx.Client(trust_env=False) as client:
        whole = client.get(own.address)
        part = client.get(own.address, headers={"Range": "bytes=4-8"})
    assert (whole.content, part.content) == (own.video, own.video[4:9])
    life = StoreSettings.model_fields["url_life_s"].default
    assert parse_qs(urlsplit(own.address).query)["X-Amz-Expires"] == [str(life)]


def test_an_address_is_over_when_its_time_is(scene: Scene, s3: StoreEndpoint) -> None:
    """Made by the same adapter; the shortest life that may be set is a minute, which is too long to wait for here."""
    own = scene.runner.run(given_out(scene, "too-late"))
    quick = S3BlobStore(store_settings(s3).model_copy(update={"url_life_s": 1}))
    late = quick.presign_get(urlsplit(own.address).path.split("/", 2)[2])
    quick.close()
    time.sleep(2.2)
    with httpx.Client(trust_env=False) as client:
        answer = client.get(late)
    assert answer.status_code == 403
    assert own.video not in answer.content

"""Whoever has got hold of the token of one job's worker can do nothing to another job, nor to its own once that has moved on."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.clips import numbered_clip
from tests.support.installation import Installation, eventually
from tests.support.stacks import PIPELINE_ID, completed, numbers
from vidette.client import Client

FRAMES = 60


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


def token_of(vidette: Installation, job_id: UUID) -> str | None:
    """As somebody who may read Secrets sees it; None while there is none."""
    secrets = [each for each in vidette.get("secrets") if each["metadata"]["name"] == f"vidette-{job_id}-a1"]
    return base64.b64decode(secrets[0]["data"]["VIDETTE_JOB_TOKEN"]).decode() if secrets else None


def test_the_token_of_one_job_claims_nothing_of_another_and_writes_nothing_at_all(
    vidette: Installation, through: Client, clip: Path
) -> None:
    earlier = through.submit(clip, PIPELINE_ID)
    completed(through, earlier)
    with vidette.quota("pods", 1), vidette.gateway() as url, httpx.Client(base_url=url, trust_env=False) as gateway:
        waiting = through.submit(clip, PIPELINE_ID)
        own = eventually(lambda: token_of(vidette, waiting), "the Secret of the waiting job")
        stolen = token_of(vidette, earlier)
        assert stolen is not None
        assert claim(gateway, stolen)["kind"] == "over", "there is a free segment, but it is another job's"
        for path in ("renew", "chunks", "finish", "report"):
            assert gateway.post(f"/v1/{path}", json={}, headers=bearer(own)).status_code == 401, path
        assert gateway.get("/v1/source", headers=bearer(own)).status_code == 401, "not even its own video, unclaimed"
        segment = claim(gateway, own)
        assert (segment["kind"], segment["job_id"]) == ("segment", str(waiting))
        assert gateway.get("/v1/source", headers=bearer(segment["session_token"])).status_code == 200
    assert numbers(completed(through, waiting)) == [(index, index) for index in range(FRAMES)]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def claim(gateway: httpx.Client, token: str) -> dict[str, Any]:
    answer: dict[str, Any] = gateway.post("/v1/claim", json={"pod": "a-thief"}, headers=bearer(token)).json()["answer"]
    return answer

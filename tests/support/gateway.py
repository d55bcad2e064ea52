"""The gateway's real app over real PostgreSQL and a real store, called as workers call it.

async with gateway(postgres_url, s3) as place:
    answer = await place.call("GET", "/v1/source", token)
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx

from tests.support.jobs import CHUNK_FRAMES, PIPELINE, Adapters, adapters
from tests.support.servers import StoreEndpoint
from tests.support.services import services_over
from tests.support.stores import blob_store
from vidette_api.gateway.app import gateway_app
from vidette_api.settings import ParallelSettings
from vidette_api.wiring import Services
from vidette_core.domain.pipelines import Catalog
from vidette_core.tokens import Tokens

COMMIT = "/v1/chunks"
CONTENT = b"compressed rows"
INDEX = {"width": 64, "height": 48, "frames": 2000, "duration_ms": 80_000.0, "has_increasing_timestamps": True}
"""Of a video that is worth three workers here, where a job samples 600 of its frames."""


def chunk(first_sample: int, frames: int = CHUNK_FRAMES, content: bytes = CONTENT, **changes: Any) -> dict[str, Any]:
    """What a worker says of a chunk."""
    digest = hashlib.sha256(content).hexdigest()
    counts = {"ok": frames, "decode_error": 0, "model_error": 0}
    return {"first_sample": first_sample, **counts, "sha256": digest, **changes}


@dataclass(frozen=True, slots=True)
class Gateway:
    """`services` are the very objects that the app uses, `db` its database's adapters, the controller's among them."""

    db: Adapters
    services: Services
    http: httpx.AsyncClient

    @property
    def tokens(self) -> Tokens:
        return self.services.tokens

    async def call(self, method: str, path: str, token: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """`body` as the route takes it: what is said of a chunk goes into the query, with `CONTENT` behind it."""
        if path == COMMIT:
            return await self.commit(token, body or {}, CONTENT)
        return await self.http.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})

    async def commit(self, token: str, message: dict[str, Any], content: bytes) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/zstd"}
        return await self.http.post(COMMIT, params=message, content=content, headers=headers)

    def job_token(self, job_id: UUID, attempt: int = 1) -> str:
        """Of an attempt that begins now."""
        return self.tokens.job_token(job_id, attempt, datetime.now(UTC))

    async def claim(self, job_id: UUID, pod: str = "pod-1", attempt: int = 1) -> dict[str, Any]:
        response = await self.call("POST", "/v1/claim", self.job_token(job_id, attempt), {"pod": pod})
        assert response.status_code == 200
        answer: dict[str, Any] = response.json()["answer"]
        return answer


@asynccontextmanager
async def gateway(database_url: str, s3: StoreEndpoint) -> AsyncIterator[Gateway]:
    parallel = ParallelSettings(frame_cost_s=100, max_workers_per_job=3)
    catalog = Catalog(pipelines=(PIPELINE,))
    async with (
        adapters(database_url) as db,
        blob_store(s3) as store,
        services_over(db, store, catalog, parallel=parallel) as services,
    ):
        transport = httpx.ASGITransport(gateway_app(services))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            yield Gateway(db, services, http)

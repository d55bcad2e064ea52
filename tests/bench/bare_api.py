"""What the status route is held against: FastAPI and asyncpg as their own tutorials join them, and nothing else.

    .venv/bin/python -m tests.bench.bare_api PORT STATEMENT_CACHE

The address of the database comes in `VIDETTE_DATABASE_URL`. It runs under the same uvicorn settings as the api.
"""

from __future__ import annotations

import os
import sys
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import FastAPI, HTTPException

from vidette_core.serving import run, server

_SELECT = "SELECT id, state, progress, created_at, updated_at FROM jobs WHERE id = $1"


def bare_app(pool: asyncpg.Pool) -> FastAPI:
    app = FastAPI()

    @app.get("/video/status/{job_id}")
    async def status(job_id: UUID) -> dict[str, Any]:
        row = await pool.fetchrow(_SELECT, job_id)
        if row is None:
            raise HTTPException(404, "Job not found")
        return {
            "job_id": str(row["id"]),
            "status": row["state"],
            "progress": row["progress"],
            "created_at": row["created_at"].isoformat().replace("+00:00", "Z"),
            "updated_at": row["updated_at"].isoformat().replace("+00:00", "Z"),
        }

    return app


async def main(port: int, statement_cache: int) -> None:
    url = os.environ["VIDETTE_DATABASE_URL"].replace("+asyncpg", "")
    async with asyncpg.create_pool(url, max_size=10, statement_cache_size=statement_cache) as pool:
        await server(bare_app(pool), "127.0.0.1", port).serve()


if __name__ == "__main__":
    run(main(int(sys.argv[1]), int(sys.argv[2])))

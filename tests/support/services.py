"""What an api process stands on, over a test's own database and store.

Nothing listens where NATS should be, unless a test says so: a wake-up that is not heard is no error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from tests.support.jobs import Adapters
from vidette_api.settings import AnalysisSettings, UploadSettings
from vidette_api.wiring import Services
from vidette_core.adapters.nats import NatsWakeup
from vidette_core.domain.pipelines import Catalog
from vidette_core.ports.blobs import BlobStore
from vidette_core.settings import TokenSettings, WakeupSettings
from vidette_core.tokens import Tokens

NOBODY = "127.0.0.1:1"
"""An address where nothing listens."""
SECRET = "s" * 64
"""The installation's key, long enough for any hash."""


@asynccontextmanager
async def services_over(
    db: Adapters,
    store: BlobStore,
    catalog: Catalog,
    *,
    nats_url: str = f"nats://{NOBODY}",
    nats_timeout_s: float = 0.1,
    **changes: Any,
) -> AsyncIterator[Services]:
    """`changes` are settings other than the defaults."""
    settings: dict[str, Any] = {"uploads": UploadSettings(), "analysis": AnalysisSettings(), **changes}
    wakeup = NatsWakeup(WakeupSettings(url=SecretStr(nats_url), timeout_s=nats_timeout_s))
    try:
        yield Services(
            database=db.database,
            store=store,
            wakeup=wakeup,
            catalog=lambda: catalog,
            tokens=Tokens(TokenSettings(secret=SecretStr(SECRET))),
            submissions=db.submissions,
            reader=db.reader,
            cancelling=db.cancelling,
            verifying=db.verifying,
            segments=db.segments,
            planning=db.planning,
            **settings,
        )
    finally:
        await wakeup.close()

"""What both apps stand on, made once for a process and closed in the reverse order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from vidette_api.catalog import CurrentCatalog, LiveCatalog
from vidette_api.settings import AnalysisSettings, ParallelSettings, ResultSettings, TenantSettings, UploadSettings
from vidette_core.adapters.nats import NatsWakeup
from vidette_core.adapters.postgres.cancelling import PostgresCancelling
from vidette_core.adapters.postgres.engine import Database
from vidette_core.adapters.postgres.planning import PostgresPlanning
from vidette_core.adapters.postgres.reading import PostgresReader
from vidette_core.adapters.postgres.segments import PostgresSegments
from vidette_core.adapters.postgres.submissions import PostgresSubmissions
from vidette_core.adapters.postgres.verifying import PostgresVerifying
from vidette_core.adapters.s3 import S3BlobStore
from vidette_core.domain.jobs import DEFAULT_TENANT
from vidette_core.ports.blobs import BlobStore
from vidette_core.ports.jobs import Cancelling, JobReader, Planning, Segments, Submissions, Verifying
from vidette_core.ports.wakeup import Wakeup
from vidette_core.settings import (
    CatalogSettings,
    DatabaseSettings,
    LeaseSettings,
    StoreSettings,
    TokenSettings,
    WakeupSettings,
)
from vidette_core.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Services:
    """The ports and settings that routes use."""

    database: Database
    store: BlobStore
    wakeup: Wakeup
    catalog: CurrentCatalog
    tokens: Tokens
    submissions: Submissions
    reader: JobReader
    cancelling: Cancelling
    verifying: Verifying
    segments: Segments
    planning: Planning
    uploads: UploadSettings
    analysis: AnalysisSettings
    results: ResultSettings = field(default_factory=ResultSettings)
    parallel: ParallelSettings = field(default_factory=ParallelSettings)
    tenant: str = DEFAULT_TENANT
    """Whose jobs the public app takes and shows."""


async def services_of(request: Request) -> Services:
    """What the app was made with; both apps keep it in `app.state.services`.

    A coroutine, since FastAPI would send a plain function to a thread for every request.
    """
    services: Services = request.app.state.services
    return services


Wired = Annotated[Services, Depends(services_of)]


@asynccontextmanager
async def services_from_environment() -> AsyncIterator[Services]:
    """Connect lazily: nothing here waits for a server, so that the api starts while they are away and says so."""
    database = Database(DatabaseSettings())
    store = S3BlobStore(StoreSettings())
    wakeup = NatsWakeup(WakeupSettings())
    lease = LeaseSettings()
    try:
        yield Services(
            database=database,
            store=store,
            wakeup=wakeup,
            catalog=LiveCatalog(CatalogSettings().file),
            tokens=Tokens(TokenSettings()),
            submissions=PostgresSubmissions(database),
            reader=PostgresReader(database),
            cancelling=PostgresCancelling(database),
            verifying=PostgresVerifying(database),
            segments=PostgresSegments(database, lease_s=lease.lease_s, max_stalled_claims=lease.max_stalled_claims),
            planning=PostgresPlanning(database),
            uploads=UploadSettings(),
            analysis=AnalysisSettings(),
            tenant=TenantSettings().tenant,
        )
    finally:
        await wakeup.close()
        store.close()
        await database.close()

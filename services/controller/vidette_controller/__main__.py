"""`python -m vidette_controller`: the loop, the sweeper and the operations endpoint, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress

from pydantic import ValidationError
from starlette.applications import Starlette

from vidette_controller.apply import Applier
from vidette_controller.launch import Template
from vidette_controller.launching import opened
from vidette_controller.loop import Controller
from vidette_controller.settings import (
    ControllerSettings,
    LaunchSettings,
    OperationsSettings,
    SweepSettings,
    WrongTogether,
    expect_lasting_tokens,
)
from vidette_controller.sweep import Sweeper
from vidette_controller.worker_template import WrongTemplate
from vidette_core.adapters.nats import NatsWakeup
from vidette_core.adapters.postgres.engine import Database
from vidette_core.adapters.postgres.schedule import PostgresSchedule
from vidette_core.adapters.postgres.sweeping import PostgresSweeping
from vidette_core.adapters.s3 import S3BlobStore
from vidette_core.ports.errors import Unavailable
from vidette_core.ports.jobs import WorkerCaps
from vidette_core.ports.launcher import Launcher
from vidette_core.serving import Server, server
from vidette_core.settings import (
    CONFIGURATION_ERROR,
    DatabaseSettings,
    LeaseSettings,
    LogSettings,
    StoreSettings,
    TokenSettings,
    TracingSettings,
    VideoLimitSettings,
    WakeupSettings,
    WorkerTuning,
    as_environment,
    exit_on_wrong_settings,
)
from vidette_core.telemetry.logs import configure_logs
from vidette_core.telemetry.metrics import Service
from vidette_core.telemetry.operations import health_routes, metrics_route
from vidette_core.telemetry.tracing import tracing
from vidette_core.tokens import Tokens


def _operations(database: Database, launcher: Launcher, settings: OperationsSettings) -> Server:
    async def can_list() -> None:
        await launcher.list()

    checks = {"database": database.ping, "launcher": can_list}
    app = Starlette(routes=[*health_routes(checks), metrics_route(Service.CONTROLLER)])
    return server(app, settings.host, settings.port)


async def main() -> None:
    configure_logs(LogSettings(), "controller")
    traces = TracingSettings()
    with tracing("vidette-controller", traces):
        await _control(traces)


async def _control(traces: TracingSettings) -> None:
    # All of them before anything is opened: a wrong one is told by its name, and its value is not.
    settings, launch, leases, operations = ControllerSettings(), LaunchSettings(), LeaseSettings(), OperationsSettings()
    token_settings = TokenSettings()
    expect_lasting_tokens(settings, token_settings)
    tokens = Tokens(token_settings)
    database, store = Database(DatabaseSettings()), S3BlobStore(StoreSettings())
    wakeup = NatsWakeup(WakeupSettings())
    schedule = PostgresSchedule(database)
    tuning = as_environment(WorkerTuning()) | as_environment(VideoLimitSettings()) | as_environment(LogSettings())
    tuning |= traces.for_workers()
    sweeper = Sweeper(PostgresSweeping(database), store, SweepSettings())
    try:
        async with opened(launch, settings) as found:
            launcher = found.launcher
            template = Template(launch.gateway_url, launch.triton_url, tuning, found.template_digest)
            applier = Applier(
                schedule,
                launcher,
                tokens,
                template,
                settings.tolerated_error_share,
                WorkerCaps(settings.max_workers, settings.max_workers_per_tenant),
                settings.refused_start_patience_s,
            )
            controller = Controller(
                schedule,
                launcher,
                wakeup,
                applier,
                template,
                settings,
                leases,
                can_have_more_memory=found.can_have_more_memory,
            )
            work = asyncio.gather(controller.run(), sweeper.run(), _operations(database, launcher, operations).serve())
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, work.cancel)
            with suppress(asyncio.CancelledError):
                await work
    finally:
        await wakeup.close()
        store.close()
        await database.close()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except ValidationError as error:
        exit_on_wrong_settings(error)
    except WrongTogether as error:
        print(error, file=sys.stderr)
        sys.exit(CONFIGURATION_ERROR)
    except WrongTemplate as error:
        print(f"VIDETTE_KUBERNETES_WORKER_TEMPLATE: {error}", file=sys.stderr)
        sys.exit(CONFIGURATION_ERROR)
    except Unavailable as error:
        print(f"the launcher cannot be opened: {error}", file=sys.stderr)
        sys.exit(1)

"""Settings of the controller, read from `VIDETTE_<NAME>`; those it shares are in `vidette_core.settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from vidette_core.settings import Port, Seconds


class ControllerSettings(BaseSettings):
    """Caps, patience and intervals."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_", frozen=True)

    max_running: Annotated[int, Field(ge=1)] = 100
    """Jobs running at once, over all tenants. Caps apply before anything is launched."""
    max_running_per_tenant: Annotated[int, Field(ge=1)] = 50
    """The same for each tenant."""
    sweep_s: Seconds = 15.0
    """Between two rounds that nothing asked for. The longest that a lost wake-up delays a job."""
    max_attempts: Annotated[int, Field(ge=1)] = 5
    """Attempts in a row that may end by their own fault, without a chunk committed between them, before the job fails."""
    max_waited_attempts: Annotated[int, Field(ge=1)] = 200
    """Attempts in a row that may end because something else was away: at 35 minutes each, some days of outage."""
    stalled_lease_s: Seconds = 300.0
    """A segment whose lease ran out this long ago, with nobody claiming it, makes the controller replace the attempt."""
    deadline_s: Seconds = 24 * 3600.0
    """One attempt may run this long."""
    tolerated_error_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """A job fails when more than this share of its frames erred. At 1.0 only when all did: partial results are results."""


class SweepSettings(BaseSettings):
    """What the sweeper takes for abandoned."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_SWEEP_", frozen=True)

    interval_s: Seconds = 60.0
    """Between two looks for what died halfway, and for what ended jobs left in the store."""
    upload_silence_s: Seconds = 300.0
    """An upload without a heartbeat for this long has lost its api process: 20 missed beats."""


class LaunchSettings(BaseSettings):
    """What workers are told, and where the controller launches them."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_", frozen=True)

    gateway_url: str
    """Where workers reach the gateway, e.g. `http://vidette-gateway:8001`."""
    triton_url: str
    """`host:port` of Triton's gRPC service."""
    jobs_socket: Path
    """The embedded stack's jobs server."""


class OperationsSettings(BaseSettings):
    """Where health, readiness and metrics are served."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_OPS_", frozen=True)

    host: str = "0.0.0.0"
    """Where the controller serves its health and its metrics."""
    port: Port = 8002
    """The port for it."""

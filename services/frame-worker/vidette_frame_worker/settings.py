"""Settings of the frame worker, read from `VIDETTE_<NAME>`. The first five come from the controller with the launch."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from vidette_core.settings import Port, Seconds


class WorkerSettings(BaseSettings):
    """All that a worker knows: its job, the gateway, Triton, and how patient it is."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_", frozen=True)

    job_id: UUID
    job_token: SecretStr
    gateway_url: str
    triton_url: str
    """`host:port` of the gRPC service."""
    pod_name: str

    metrics_port: Port | None = None
    """Where Prometheus may scrape this worker; None serves no metrics, 0 any free port."""
    metrics_host: str = "0.0.0.0"

    in_flight: Annotated[int, Field(ge=1, le=64)] = 4
    """Frames being analysed at once. A GPU wants several to batch; on two CPU cores four keep both busy."""
    decoded_ahead: Annotated[int, Field(ge=1, le=64)] = 4
    """Decoded frames waiting: 4 of 4K are 100 MB."""
    inference_timeout_s: Seconds = 60.0
    """For one request. A CPU server may queue several seconds of OCR before it."""
    patience_s: Seconds = 300.0
    """How long something that is away (Triton, the gateway, the store) is waited for, before the worker exits with 75."""


class LimitSettings(BaseSettings):
    """Bounds on one video, checked before work is done on it."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_LIMIT_", frozen=True)

    pixels: Annotated[int, Field(ge=1)] = 7680 * 4320
    """In one frame: 8K UHD."""
    frames: Annotated[int, Field(ge=1)] = 10_000_000
    """Displayed frames: 46 hours at 60 a second."""
    duration_s: Seconds = 48 * 3600.0

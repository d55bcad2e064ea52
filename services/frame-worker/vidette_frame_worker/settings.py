"""Settings of the frame worker, read from `VIDETTE_<NAME>`.

The controller gives the first four with the launch, and the launcher the pod's name.
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from pydantic import Field, SecretStr

from vidette_core.domain.traceparents import VARIABLE
from vidette_core.settings import Port, WorkerTuning


class WorkerSettings(WorkerTuning):
    """All that a worker knows: its job, the gateway, Triton, and how patient it is."""

    job_id: UUID
    job_token: SecretStr
    gateway_url: str
    triton_url: str
    """`host:port` of the gRPC service."""
    pod_name: str

    termination_log: Path | None = None
    """Where the last sentence goes: Kubernetes shows it as the container's termination message."""
    metrics_port: Port | None = None
    """Where Prometheus may scrape this worker; None serves no metrics, 0 any free port."""
    metrics_host: str = "0.0.0.0"

    traceparent: str | None = Field(default=None, validation_alias=VARIABLE)
    """Of the span that launched this worker, where traces are on."""

"""Settings of the controller, read from `VIDETTE_<NAME>`; those it shares are in `vidette_core.settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from vidette_core.settings import Port, Seconds, TokenSettings


class ControllerSettings(BaseSettings):
    """Caps, patience and intervals."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_", frozen=True)

    max_running: Annotated[int, Field(ge=1)] = 100
    """Jobs running at once, over all tenants. Caps apply before anything is launched."""
    max_running_per_tenant: Annotated[int, Field(ge=1)] = 50
    """The same for each tenant."""
    max_workers: Annotated[int, Field(ge=1)] = 200
    """Workers that all running jobs have together. Each job has one in any case; long videos get more while there is room."""
    max_workers_per_tenant: Annotated[int, Field(ge=1)] = 100
    """The same for each tenant."""
    sweep_s: Seconds = 15.0
    """Between two rounds that nothing asked for. The longest that a lost wake-up delays a job."""
    max_attempts: Annotated[int, Field(ge=1)] = 5
    """Attempts in a row that may end by their own fault, without a chunk committed between them, before the job fails."""
    max_waited_attempts: Annotated[int, Field(ge=1)] = 200
    """Attempts in a row that may end because something else was away: at 35 minutes each, some days of outage."""
    stalled_lease_s: Seconds = 300.0
    """Once the last lease of all a job's segments ran out this long ago, the controller replaces the attempt."""
    start_patience_s: Seconds = 1800.0
    """How long an attempt may wait for a cluster to start its first worker, while nodes are added or others' work ends, before
    the job fails (`worker_unavailable`). A cluster in which jobs queue for room needs more."""
    refused_start_patience_s: Seconds = 600.0
    """The same where waiting seldom helps: an image that cannot be pulled, a wrong configuration, a policy against workers."""
    deadline_s: Seconds = 24 * 3600.0
    """One attempt may run this long, counted from when its first worker started."""
    tolerated_error_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """A job fails when more than this share of its frames erred. At 1.0 only when all did: partial results are results."""


class WrongTogether(Exception):
    """Settings that are right by themselves and wrong together; the text names them, and says what to do."""


def expect_lasting_tokens(settings: ControllerSettings, tokens: TokenSettings) -> None:
    """Raises `WrongTogether` where workers would be refused before their attempt is over."""
    longest = settings.deadline_s + max(settings.start_patience_s, settings.refused_start_patience_s)
    if tokens.life_s < longest:
        raise WrongTogether(
            f"VIDETTE_TOKEN_LIFE_S: {tokens.life_s} s are less than an attempt may take: VIDETTE_DEADLINE_S and the longer of "
            f"VIDETTE_START_PATIENCE_S and VIDETTE_REFUSED_START_PATIENCE_S are {longest:g} s. Raise it, in api and controller."
        )


class SweepSettings(BaseSettings):
    """What the sweeper takes for abandoned."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_SWEEP_", frozen=True)

    interval_s: Seconds = 60.0
    """Between two looks for what died halfway, and for what ended jobs left in the store."""
    upload_silence_s: Seconds = 300.0
    """An upload without a heartbeat for this long has lost its api process: 20 missed beats."""
    settle_s: Annotated[float, Field(ge=60)] = 900.0
    """How long after a job's end a write that was under way may still land: what no chunk names then is garbage. S3 takes a
    signed request for 15 minutes."""


class LaunchSettings(BaseSettings):
    """What workers are told, and where the controller launches them."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_", frozen=True)

    gateway_url: str
    """Where workers reach the gateway, e.g. `http://vidette-gateway:8001`."""
    triton_url: str
    """`host:port` of Triton's gRPC service."""
    jobs_socket: Path | None = None
    """The embedded stack's jobs server. Without it workers are Kubernetes Jobs."""


class KubernetesSettings(BaseSettings):
    """Where workers run as Kubernetes Jobs, and as what."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_KUBERNETES_", frozen=True)

    namespace: str
    """Of the workers' Jobs: the controller's own."""
    worker_template: Path
    """A pod template in YAML (`metadata`, `spec`) with a container named `worker`."""
    release: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$")] = "vidette"
    """Every selector carries it: two installations in one namespace need two names."""
    owner: str | None = None
    """The controller's own Deployment, if the Jobs shall go when it is deleted. Without it they outlive an uninstallation."""
    kubeconfig: Path | None = None
    """How to reach the API server from outside the cluster. Without it the pod's own service account is used."""
    timeout_s: Seconds = 10.0
    """For one request to the API server."""
    backoff_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """Pods of one Job that may fail before the controller decides on another attempt. Kubernetes waits 10, 20, 40 s between."""
    keep_s: Annotated[int, Field(ge=0)] = 3600
    """How long a Job that has ended is kept for people to look at. 0 deletes it at once."""
    worker_memory_retry: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$")] | None = None
    """The memory limit (a quantity, e.g. `8Gi`) for one more attempt of a job whose worker ran out of memory. Without it such a
    job fails."""
    public_url: str | None = None
    """Where clients reach the api: Jobs are annotated with the status URL of their video."""


class OperationsSettings(BaseSettings):
    """Where health, readiness and metrics are served."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_OPS_", frozen=True)

    host: str = "0.0.0.0"
    """Where the controller serves its health and its metrics."""
    port: Port = 8002
    """The port for it."""

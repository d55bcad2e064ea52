"""The settings of the embedded stack. This is the only module of it that reads the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from vidette_api.settings import AnalysisSettings, ParallelSettings, ResultSettings, TenantSettings, UploadSettings
from vidette_controller.settings import ControllerSettings, SweepSettings
from vidette_core.settings import (
    LeaseSettings,
    LogSettings,
    TracingSettings,
    VideoLimitSettings,
    WorkerTuning,
    name_wrong_settings,
)

_REPOSITORY = Path(__file__).resolve().parents[3]


class PartName(StrEnum):
    """The parts, in the order in which they start."""

    POSTGRES = "postgres"
    NATS = "nats"
    S3 = "s3"
    TRITON = "triton"
    API = "api"
    CONTROLLER = "controller"


class LocalSettings(BaseSettings):
    """Read from `VIDETTE_…` variables. Other `VIDETTE_…` variables are handed to the services as they are."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=lambda: Path.cwd() / ".vidette", description="The state folder.")
    http_port: int = Field(8000, ge=1, le=65535, description="Where clients find the API, on 127.0.0.1.")
    runtime: Path = Field(_REPOSITORY / ".runtime", description="Where Triton's own virtual environment is kept.")
    triton_project: Path = Field(
        _REPOSITORY / "deploy" / "triton" / "cpu", description="The project that pins Triton's virtual environment."
    )
    pipelines_file: Path | None = Field(
        None, description="Pipelines of your own, as docs/models.md says; applied at every start."
    )
    uv: str = Field("uv", description="The uv program that makes Triton's virtual environment.")
    parts: Annotated[tuple[PartName, ...], NoDecode] = Field(
        tuple(PartName),
        description="Which parts run, comma-separated: for tests, and to run a service by hand in a debugger.",
    )

    @field_validator("pipelines_file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @field_validator("home", "runtime", "triton_project", "pipelines_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        if path is None:
            return None
        return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - resolve() would follow links that the user set up

    @field_validator("parts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"


def settings_or_exit() -> LocalSettings:
    """The settings, or one line for each wrong one and the exit code 2."""
    try:
        return LocalSettings()
    except ValidationError as error:
        name_wrong_settings(error)
        sys.exit(2)


def check_services() -> None:
    """The settings that are handed on to the services, before anything is started: a line for each wrong one, and exit code 2."""
    kinds = (
        *(UploadSettings, AnalysisSettings, ParallelSettings, ResultSettings, TenantSettings),
        *(ControllerSettings, SweepSettings),
        *(VideoLimitSettings, WorkerTuning, LeaseSettings, LogSettings, TracingSettings),
    )
    is_wrong = False
    for kind in kinds:
        try:
            kind()
        except ValidationError as error:
            name_wrong_settings(error)
            is_wrong = True
    if is_wrong:
        sys.exit(2)


def machine_environment() -> dict[str, str]:
    """What the stack was started with, without any `VIDETTE_…` variable, and with no proxy between its parts."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VIDETTE_")}
    return {**inherited, **_without_proxy(inherited)}


def bypass_proxies() -> None:
    """Have this process itself (its readiness probes) reach the parts without a proxy."""
    os.environ.update(_without_proxy(os.environ))


def _without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """Both spellings: libraries differ in which one they read."""
    listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in listed.split(",") if host.strip()]
    value = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))
    return {"no_proxy": value, "NO_PROXY": value}


def tuning_environment() -> dict[str, str]:
    """The `VIDETTE_…` variables that the user set and the stack has no use for itself: they tune the services."""
    own = {f"VIDETTE_{name.upper()}" for name in LocalSettings.model_fields}
    return {name: value for name, value in os.environ.items() if name.startswith("VIDETTE_") and name not in own}


def triton_trace_options() -> tuple[str, ...]:
    """Triton's own spans go where those of the services go; only of requests that name a trace, since the rate is 0."""
    traces = TracingSettings()
    if not traces.is_on:
        return ()
    told = ("mode=opentelemetry", f"opentelemetry,url={traces.traces_url}", "level=TIMESTAMPS", "rate=0")
    return tuple(f"--trace-config={option}" for option in told)

"""Settings that several services share, each defined once: its meaning, unit, default and why.

Every setting is read from an environment variable `VIDETTE_<NAME>`, e.g. `VIDETTE_DATABASE_URL`; only those of traces have
OpenTelemetry's names. No other module of the core reads the environment.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, NoReturn
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0)]
CONFIGURATION_ERROR = 78
"""Exit code of a service whose settings are wrong (EX_CONFIG of sysexits.h): trying again does not help."""
_LIBPQ_TLS = re.compile(r"(?<![^&])sslmode=")
"""asyncpg takes the same values by a shorter name."""
Port = Annotated[int, Field(ge=0, le=65535)]


def _for_our_driver(url: object) -> object:
    """Others write URLs for libpq: operators for PostgreSQL into the Secrets that they make, for one."""
    text = url.get_secret_value() if isinstance(url, SecretStr) else url
    if not isinstance(text, str):
        return url
    scheme, mark, rest = text.partition("://")
    address, question, query = rest.partition("?")
    if scheme in ("postgres", "postgresql"):
        scheme = "postgresql+asyncpg"
    return f"{scheme}{mark}{address}{question}{_LIBPQ_TLS.sub('ssl=', query)}"


class DatabaseSettings(BaseSettings):
    """PostgreSQL 15 or newer, or a PgBouncer before it."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_DATABASE_", frozen=True)

    url: Annotated[SecretStr, BeforeValidator(_for_our_driver)]
    """`postgresql://user:password@host:port/database`, with `?sslmode=` as libpq knows it where it is needed."""
    pool_size: Annotated[int, Field(ge=1, le=200)] = 10
    """Connections a process may hold, and four more for reading single jobs. Ten serve hundreds of requests a second, since no
    transaction waits for the network."""
    timeout_s: Seconds = 10.0
    """For connecting, for a free connection, and for each statement. Longer than any healthy statement takes by far."""
    statement_cache: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Statements kept prepared in each connection. 0 suits every PgBouncer; 100 makes reads of a job's status several times
    quicker, and is right without PgBouncer, or with 1.21 and newer where `max_prepared_statements` is not 0."""


class StoreSettings(BaseSettings):
    """Any S3-compatible store."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_STORE_", frozen=True)

    endpoint: str
    """Where the services reach the store, e.g. `http://127.0.0.1:9000`."""
    worker_endpoint: str | None = None
    """Where workers reach it, when that differs: presigned URLs for workers are made for this address."""
    bucket: str = "vidette"
    """It has to exist."""
    access_key: SecretStr
    """Of a user who may read, write, list and delete in the bucket."""
    secret_key: SecretStr
    """The key's secret."""
    region: str = "us-east-1"
    """Most S3-compatible stores accept only this name."""
    timeout_s: Seconds = 30.0
    """For connecting and for each read. A part of 8 MiB takes well under a second; a store slower than this is away."""
    complete_timeout_s: Seconds = 300.0
    """For completing a multipart upload: some stores copy the parts then, and take seconds for each GiB."""
    url_life_s: Annotated[int, Field(ge=60, le=3600)] = 600
    """How long a presigned URL lives. Minutes: long enough for a slow transfer, short enough to be worthless when it leaks."""


class WakeupSettings(BaseSettings):
    """NATS with JetStream. Away is not an error: jobs then start at the controller's next sweep."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_NATS_", frozen=True)

    url: SecretStr
    """`nats://token@host:port`, or several with commas."""
    timeout_s: Seconds = 2.0
    """For connecting and publishing. Short, since a client's request may wait for it."""


class TokenSettings(BaseSettings):
    """Tokens of workers, signed by the controller and the gateway."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_TOKEN_", frozen=True)

    secret: Annotated[SecretStr, Field(min_length=32)]
    """The HMAC key (RFC 7518 §3.2 asks for at least 32 bytes for HS256), the same in api and controller."""
    life_s: Annotated[int, Field(ge=60, le=30 * 24 * 3600)] = 48 * 3600
    """How long workers may claim after their attempt began, and hold a segment after its claim, whatever the lease. Longer than
    `VIDETTE_DEADLINE_S` and `VIDETTE_START_PATIENCE_S` together, or the controller does not start."""


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class LogSettings(BaseSettings):
    """Structured logs on standard error."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_LOG_", frozen=True)

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = "INFO"
    """The least severe lines that are written; case does not matter."""
    format: Literal["json", "text"] = "json"
    """`json` for machines, `text` for a terminal."""


class TracingSettings(BaseSettings):
    """Traces, sent by OTLP over HTTP; off until an endpoint is set. The names are OpenTelemetry's own, and so is what they mean:
    its other variables (`OTEL_BSP_…`, `OTEL_EXPORTER_OTLP_HEADERS`, `…_TIMEOUT`, `…_CERTIFICATE`) are read by its SDK."""

    model_config = SettingsConfigDict(env_prefix="OTEL_", env_ignore_empty=True, frozen=True)

    sdk_disabled: str = "false"
    """`true` switches traces off, whatever else is set."""
    traces_exporter: str = "otlp"
    """Anything else does the same, e.g. `none`."""
    exporter_otlp_endpoint: str | None = None
    """The collector, e.g. `http://otel-collector:4318`; `/v1/traces` is added. Set, it switches traces on."""
    exporter_otlp_traces_endpoint: str | None = None
    """The whole address that spans are posted to. Set, it switches traces on and is used instead."""
    exporter_otlp_traces_protocol: str | None = None
    """Used instead of the next."""
    exporter_otlp_protocol: str = "http/protobuf"
    """The only one there is here."""
    traces_sampler: str | None = None
    """`parentbased_always_on` without it; for a share of what comes without a `traceparent`, `parentbased_traceidratio`."""
    traces_sampler_arg: str | None = None
    """That share, e.g. `0.1`."""
    service_name: str | None = None
    """Of this process. Without it `vidette-api`, `vidette-controller`, `vidette-frame-worker`."""
    resource_attributes: str | None = None
    """`key=value,…`, put on every span."""

    @field_validator("exporter_otlp_endpoint", "exporter_otlp_traces_endpoint")
    @classmethod
    def _is_an_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None or cls._switched_off(info.data):
            return value
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                "an address that begins with http:// or https:// is needed, e.g. http://otel-collector:4318"
            )
        if parts.username is not None or parts.password is not None:
            raise ValueError(
                "workers are told this address, and must learn no credentials: give them in OTEL_EXPORTER_OTLP_HEADERS"
            )
        return value

    @field_validator("exporter_otlp_traces_protocol", "exporter_otlp_protocol")
    @classmethod
    def _is_spoken(cls, value: str | None, info: ValidationInfo) -> str | None:
        overruled = info.field_name == "exporter_otlp_protocol" and info.data.get("exporter_otlp_traces_protocol")
        if value in (None, "http/protobuf") or overruled or not cls._switched_on(info.data):
            return value
        raise ValueError(
            "traces are on, but go by http/protobuf only: unset it and give the collector's OTLP/HTTP port (mostly 4318) in "
            "the endpoint, or switch traces off by OTEL_SDK_DISABLED=true"
        )

    @property
    def is_on(self) -> bool:
        return self._switched_on(self.model_dump())

    @property
    def names_service(self) -> bool:
        """Whether the name of the service is set, in either of the two ways that OpenTelemetry has."""
        return self.service_name is not None or "service.name=" in (self.resource_attributes or "")

    @property
    def traces_url(self) -> str:
        """Where spans are posted to, where traces are on."""
        return self.exporter_otlp_traces_endpoint or f"{(self.exporter_otlp_endpoint or '').rstrip('/')}/v1/traces"

    def for_workers(self) -> dict[str, str]:
        """The variables that a worker needs; none where traces are off. Headers are not among them: workers are hostile."""
        if not self.is_on:
            return {}
        told = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": self.traces_url,
            "OTEL_TRACES_SAMPLER": self.traces_sampler,
            "OTEL_TRACES_SAMPLER_ARG": self.traces_sampler_arg,
            "OTEL_RESOURCE_ATTRIBUTES": self.resource_attributes,
        }
        return {name: value for name, value in told.items() if value is not None}

    @staticmethod
    def _switched_on(values: Mapping[str, object]) -> bool:
        endpoints = (values.get("exporter_otlp_endpoint"), values.get("exporter_otlp_traces_endpoint"))
        return any(endpoints) and not TracingSettings._switched_off(values)

    @staticmethod
    def _switched_off(values: Mapping[str, object]) -> bool:
        exporters = str(values.get("traces_exporter")).split(",")
        return str(values.get("sdk_disabled")).lower() == "true" or "otlp" not in exporters


class CatalogSettings(BaseSettings):
    """The pipelines of this installation."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_CATALOG_", frozen=True)

    file: Path
    """`catalog.json`, as the models tool writes it beside the Triton model repository."""


class LeaseSettings(BaseSettings):
    """How workers hold segments: the gateway grants, the controller judges."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_", frozen=True)

    lease_s: Seconds = 30.0
    """A worker renews three times within it; a worker that is silent for longer may be replaced."""
    max_stalled_claims: Annotated[int, Field(ge=2)] = 12
    """Pods that claimed a segment without a chunk committed between them, after which the job fails (`no_progress`)."""


class WorkerTuning(BaseSettings):
    """How a worker works. Set on the controller, which hands the values to every worker it launches."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_", frozen=True)

    in_flight: Annotated[int, Field(ge=1, le=64)] = 4
    """Frames being analysed at once. A GPU wants several to batch; on two CPU cores four keep both busy."""
    decoded_ahead: Annotated[int, Field(ge=1, le=64)] = 4
    """Decoded frames waiting: 4 of 4K are 100 MB."""
    inference_timeout_s: Seconds = 60.0
    """For one request. A CPU server may queue several seconds of OCR before it."""
    memory_bytes: Annotated[int, Field(ge=2**29)] = 4 * 2**30
    """What a worker may take for data (RLIMIT_DATA), whatever a file makes its decoder want. Eight pictures of 8K and the
    decoder's own need half of it."""
    confinement: Literal["required", "available", "off"] = "available"
    """Whether a worker gives up what decoding does not need: writing files, starting programs, and more (ADR 23). `available`
    goes without what the kernel does not have, and says so in the log; `required` then ends the worker."""
    patience_s: Seconds = 300.0
    """How long something that is away (Triton, the gateway, the store) is waited for, before the worker exits with 75."""
    text_reuse: bool = True
    """Whether a line that stands unchanged since an earlier frame of its chunk keeps its text unread. Reading is by far what
    costs most, and no text came out otherwise on any clip tried: off only to measure that."""


class VideoLimitSettings(BaseSettings):
    """Bounds on one video, checked by the worker before work is done on it. Set on the controller, like the tuning."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_LIMIT_", frozen=True)

    pixels: Annotated[int, Field(ge=1)] = 7680 * 4320
    """In one frame: 8K UHD."""
    frames: Annotated[int, Field(ge=1)] = 10_000_000
    """Displayed frames: 46 hours at 60 a second."""
    duration_s: Seconds = 24 * 3600.0
    """Of the video, by its own timestamps."""
    tracks: Annotated[int, Field(ge=1, le=1000)] = 100
    """In one file, whatever they hold: pictures, sound, subtitles. FFmpeg itself takes 1000."""
    decode_s: Seconds = 60.0
    """What one frame may take to be decoded, and the index to be read, in seconds of one core's work: a busy machine and a slow
    store do not count. Frames of 8K take one or two."""


def as_environment(settings: BaseSettings) -> dict[str, str]:
    """The variables from which another process reads the same settings."""
    prefix = settings.model_config.get("env_prefix", "")
    return {f"{prefix}{name}".upper(): str(value) for name, value in settings.model_dump(mode="json").items()}


def exit_on_wrong_settings(error: ValidationError) -> NoReturn:
    """End the process with CONFIGURATION_ERROR, after `name_wrong_settings`."""
    name_wrong_settings(error)
    sys.exit(CONFIGURATION_ERROR)


def name_wrong_settings(error: ValidationError) -> None:
    """One line on standard error for each wrong variable. Values are not shown: some are secret."""
    prefixes = {
        settings.__name__: settings.model_config.get("env_prefix", "") for settings in _all_settings(BaseSettings)
    }
    for wrong in error.errors(include_url=False, include_input=False, include_context=False):
        name = "_".join(str(part) for part in wrong["loc"][:1])  # what follows is a place inside the variable's value
        print(f"{prefixes.get(error.title, '')}{name}".upper() + f": {wrong['msg']}", file=sys.stderr)


def _all_settings(root: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    for settings in root.__subclasses__():
        yield settings
        yield from _all_settings(settings)

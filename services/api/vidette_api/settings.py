"""Settings of the api, read from `VIDETTE_<NAME>`; those it shares with other services are in `vidette_core.settings`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from vidette_core.domain.chunks import MAX_CHUNK_BYTES, MAX_CHUNK_FRAMES, MAX_CHUNK_TEXT_BYTES
from vidette_core.domain.jobs import DEFAULT_TENANT
from vidette_core.settings import Port, Seconds

MIB = 2**20
LAST_WORDS_S = 8
"""How long uploads that were cancelled may take to abort themselves and say so in their rows and to their clients."""


class ListenSettings(BaseSettings):
    """Where the two apps listen, and how they stop."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_", frozen=True)

    http_host: str = "0.0.0.0"
    """The public app's address."""
    http_port: Port = 8000
    """The public app: what an ingress points to."""
    gateway_host: str = "0.0.0.0"
    """The workers' app's address."""
    gateway_port: Port = 8001
    """The workers' app, with the metrics: reachable from inside the cluster only."""
    shutdown_s: Annotated[int, Field(ge=1, le=3600)] = 15
    """Seconds that requests under way may take to end after SIGTERM; then uploads are aborted, and say so in their rows.

    Kill the process 10 s later at the earliest: with the default, Kubernetes' 30 s of grace are enough.
    """


class UploadSettings(BaseSettings):
    """Limits of `POST /video/submit`. Memory: about 3 parts for each upload at once."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_UPLOAD_", frozen=True)

    max_bytes: Annotated[int, Field(ge=1)] = 16 * 1024 * MIB
    """Bytes of one video. An hour of 4K at 30 Mbit/s is 14 GiB."""
    max_at_once: Annotated[int, Field(ge=1)] = 8
    """Uploads this process takes at once; more get 503 with Retry-After."""
    timeout_s: Seconds = 3600.0
    """From the first byte to the last. Also what an upload that crawls is ended by."""
    idle_timeout_s: Seconds = 60.0
    """Between two pieces of the body. A client that is silent for longer has gone."""
    min_bytes_per_s: Annotated[int, Field(ge=0)] = 1024
    """On average, once `idle_timeout_s` has passed; 0 is no such limit. A client that sends a byte a second would hold one of
    the few places for an hour. What the store takes its time for does not count."""
    check_s: Seconds = 3.0
    """How long database and store may take to answer before a body is read. Longer, and the client is told to come again."""
    part_bytes: Annotated[int, Field(ge=5 * MIB)] = 8 * MIB
    """Size of a multipart part (S3 asks for at least 5 MiB); grows when a declared length needs more than 10,000 parts."""
    heartbeat_s: Seconds = 15.0
    """How often an upload under way says so in its row. The controller takes it for dead after many missed beats."""
    drain_bytes: Annotated[int, Field(ge=0)] = 64 * MIB
    """How much of a refused body is read and dropped, so that the client reads the answer and no reset."""
    drain_s: Seconds = 10.0
    """The same in seconds."""


class TenantSettings(BaseSettings):
    """Whose jobs this api takes and shows. There is no authentication yet that could tell one client from another."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_", frozen=True)

    tenant: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] = DEFAULT_TENANT
    """Of every job submitted here. A job of another tenant is not found here, under no path."""


class ResultSettings(BaseSettings):
    """Limits of `GET /video/results`. Workers are hostile: what they wrote is bounded before it is looked at."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_RESULTS_", frozen=True)

    max_chunk_bytes: Annotated[int, Field(ge=2**10)] = MAX_CHUNK_BYTES
    """Bytes of one chunk of results, as it lies in the store."""
    max_chunk_text_bytes: Annotated[int, Field(ge=2**10)] = MAX_CHUNK_TEXT_BYTES
    """The same, decompressed."""
    retry_s: Seconds = 8.0
    """How long a chunk that the store says it has not is asked for again: just started, a store may not know it yet."""
    wait_s: Seconds = 12.0
    """How long the first rows may take to come. They take milliseconds; longer, and the client is told to come again."""


class AnalysisSettings(BaseSettings):
    """What is pinned to a job at submit."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_", frozen=True)

    chunk_frames: Annotated[int, Field(ge=1, le=MAX_CHUNK_FRAMES)] = 200
    """Sampled frames in a chunk: what a lost worker costs at most, against how well a chunk compresses. Decoding begins afresh at
    every twentieth chunk: a video with another value may have other frames after a damaged one (ADR 22)."""


class ParallelSettings(BaseSettings):
    """Into how many segments a long video is cut, each for a worker of its own."""

    model_config = SettingsConfigDict(env_prefix="VIDETTE_", frozen=True)

    max_workers_per_job: Annotated[int, Field(ge=1, le=64)] = 8
    """The most segments of one video, hence its most workers. A client may ask for fewer (`max_workers`); 1 splits no video."""
    frame_cost_s: Seconds = 0.2
    """What one worker is taken to need for a sampled frame, until jobs of the pipeline have shown it (then their median)."""
    worker_start_s: Seconds = 10.0
    """What it takes until one more worker does something. Each gets ten times as much work, so short videos have one."""

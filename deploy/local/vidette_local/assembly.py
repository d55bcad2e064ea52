"""From settings to parts: the one place that knows which part is given what."""

from __future__ import annotations

import os
from collections.abc import Mapping

from vidette_local.credentials import Credentials
from vidette_local.environment import (
    StackAddresses,
    api_environment,
    controller_defaults,
    controller_environment,
    part_environment,
)
from vidette_local.home import Home
from vidette_local.parts.nats import NatsPart
from vidette_local.parts.part import Part
from vidette_local.parts.postgres import PostgresPart
from vidette_local.parts.s3 import REGION, S3Part
from vidette_local.parts.service import ApiPart, ServicePart
from vidette_local.parts.triton import TritonPart
from vidette_local.ports import LOOPBACK
from vidette_local.settings import (
    LocalSettings,
    PartName,
    machine_environment,
    triton_trace_options,
    tuning_environment,
)
from vidette_models.repository import CATALOG

PORT_NAMES = ("postgres", "nats", "s3", "triton", "triton_metrics", "gateway", "ops")


def assemble(settings: LocalSettings, home: Home, ports: Mapping[str, int], secrets: Credentials) -> list[Part]:
    """The parts that the settings ask for, in the order in which they start."""
    machine = part_environment(machine_environment(), home.stack_id)
    postgres = PostgresPart(home.postgres, ports["postgres"], secrets.postgres_password, machine)
    nats = NatsPart(home.nats, ports["nats"], secrets.nats_token, machine)
    s3 = S3Part(home.s3, ports["s3"], secrets.s3_access_key, secrets.s3_secret_key, machine)
    triton = TritonPart(
        settings=settings,
        repository=home.models,
        stack_id=home.stack_id,
        grpc_port=ports["triton"],
        metrics_port=ports["triton_metrics"],
        control_secret=secrets.triton_control_secret,
        trace_options=triton_trace_options(),
    )
    addresses = StackAddresses(
        database_url=postgres.url(),
        nats_url=nats.url(),
        store_endpoint=s3.endpoint,
        store_bucket=s3.bucket,
        store_region=REGION,
        triton=f"{LOOPBACK}:{ports['triton']}",
        http_port=settings.http_port,
        gateway_port=ports["gateway"],
        ops_port=ports["ops"],
        jobs_socket=home.socket,
        catalog=home.models / CATALOG,
    )
    # The user's own variables first: what the stack decides, it decides.
    service = {**machine, **tuning_environment()}
    api = ApiPart(
        "api", "vidette_api", settings.http_port, home.path, {**service, **api_environment(addresses, secrets)}
    )
    controller = ServicePart(
        "controller",
        "vidette_controller",
        ports["ops"],
        home.path,
        {**controller_defaults(os.cpu_count() or 1), **service, **controller_environment(addresses, secrets)},
    )
    parts: dict[PartName, Part] = {
        PartName.POSTGRES: postgres,
        PartName.NATS: nats,
        PartName.S3: s3,
        PartName.TRITON: triton,
        PartName.API: api,
        PartName.CONTROLLER: controller,
    }
    return [part for name, part in parts.items() if name in settings.parts]

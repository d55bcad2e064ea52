"""From a job's attempt to the launch spec of its workers: a name, an environment, and the hash of what it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from vidette_core.domain.traceparents import VARIABLE
from vidette_core.ports.jobs import Launch
from vidette_core.ports.launcher import LaunchSpec
from vidette_core.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Template:
    """What every worker of this installation is told."""

    gateway_url: str
    triton_url: str
    tuning: Mapping[str, str]
    """Variables of the worker's own settings."""
    launcher_digest: str = ""
    """Of what the launcher adds: the pod template of a cluster."""

    @property
    def hash(self) -> str:
        """Tells launched jobs of an older template apart; a job keeps the hash it was launched with."""
        told = [self.gateway_url, self.triton_url, dict(self.tuning), self.launcher_digest]
        canonical = json.dumps(told, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def launch_of(template: Template, job_id: UUID, attempt: int) -> Launch:
    """Deterministic, so that several controllers mean the same launched job."""
    return Launch(name=f"vidette-{job_id}-a{attempt}", spec_hash=template.hash)


def spec_of(
    template: Template,
    tokens: Tokens,
    job_id: UUID,
    attempt: int,
    begun: datetime,
    pipeline_id: str = "",
    *,
    more_memory: bool = False,
    traceparent: str | None = None,
) -> LaunchSpec:
    """`begun`: when the attempt did. `traceparent`: of the span whose work the workers go on with; it is no part of the hash,
    since nothing depends on it.
    """
    launch = launch_of(template, job_id, attempt)
    env = {
        **template.tuning,
        "VIDETTE_JOB_ID": str(job_id),
        "VIDETTE_GATEWAY_URL": template.gateway_url,
        "VIDETTE_TRITON_URL": template.triton_url,
    }
    if traceparent is not None:
        env[VARIABLE] = traceparent
    secrets = {"VIDETTE_JOB_TOKEN": tokens.job_token(job_id, attempt, begun)}
    return LaunchSpec(
        launch.name,
        job_id,
        attempt,
        launch.spec_hash,
        env,
        secrets,
        pipeline_id=pipeline_id,
        more_memory=more_memory,
    )

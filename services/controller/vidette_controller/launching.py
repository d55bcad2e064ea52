"""Opens the launcher of this installation: processes of the embedded stack, or Kubernetes Jobs in the controller's namespace."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from vidette_controller.manifests import JobTemplate
from vidette_controller.settings import ControllerSettings, KubernetesSettings, LaunchSettings
from vidette_controller.worker_template import read_worker_template
from vidette_core.adapters.kube.connection import KubeConnection
from vidette_core.adapters.kube.launcher import KubeLauncher
from vidette_core.adapters.process_launcher import ProcessLauncher
from vidette_core.ports.launcher import Launcher


@dataclass(frozen=True, slots=True)
class Opened:
    """A launcher, and the digest of its own template: with another one, workers launched from now on differ."""

    launcher: Launcher
    template_digest: str = ""
    can_have_more_memory: bool = False
    """Whether there is a larger memory limit for an attempt after one that ran out of memory."""


@asynccontextmanager
async def opened(launch: LaunchSettings, controller: ControllerSettings) -> AsyncIterator[Opened]:
    """Raises `WrongTemplate` and pydantic's `ValidationError` for what the installation got wrong."""
    if launch.jobs_socket is not None:
        async with ProcessLauncher(launch.jobs_socket) as launcher:
            yield Opened(launcher)
        return
    settings = KubernetesSettings()
    pod = read_worker_template(settings.worker_template)
    template = JobTemplate(
        release=settings.release,
        pod=pod,
        backoff_limit=settings.backoff_limit,
        deadline_s=round(controller.deadline_s + controller.start_patience_s),
        memory_retry=settings.worker_memory_retry,
        public_url=settings.public_url,
    )
    connection = await KubeConnection.open(settings.kubeconfig, settings.timeout_s)
    kube = KubeLauncher(connection, settings.namespace, settings.release, template, settings.keep_s, settings.owner)
    try:
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(kube.run())
            try:
                yield Opened(kube, _digest(pod, settings), settings.worker_memory_retry is not None)
            finally:
                following.cancel()
    finally:
        await kube.close()


def _digest(pod: Mapping[str, object], settings: KubernetesSettings) -> str:
    made_from = [pod, settings.backoff_limit, settings.worker_memory_retry]
    return hashlib.sha256(json.dumps(made_from, sort_keys=True, default=str).encode()).hexdigest()[:16]

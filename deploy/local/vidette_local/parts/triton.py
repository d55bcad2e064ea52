"""Triton as a part: its environment and the models are made first; it is ready when every model is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vidette_core.adapters.triton import TritonInference
from vidette_core.domain.pipelines import Catalog
from vidette_local.child import Command
from vidette_local.environment import STACK
from vidette_local.parts.part import NotReady, StartFailed
from vidette_local.ports import LOOPBACK
from vidette_local.settings import LocalSettings
from vidette_local.triton_runtime import RuntimeUnavailable, TritonRuntime, prepare, sweep_shared_memory
from vidette_models.builtin import write_builtin
from vidette_models.errors import UnsupportedModel
from vidette_models.pipelines_file import apply_file
from vidette_models.refusal import Refused
from vidette_models.repository import CATALOG, Repository


@dataclass(slots=True)
class TritonPart:
    """`repository` is where the models are written at every start; the catalog lies among them."""

    settings: LocalSettings
    repository: Path
    stack_id: str
    grpc_port: int
    metrics_port: int
    control_secret: str = field(repr=False)
    write_models: Callable[[Path], object] = write_builtin
    trace_options: tuple[str, ...] = ()
    _runtime: TritonRuntime | None = None

    name = "triton"
    start_seconds = 120.0
    grace_seconds = 5.0

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.grpc_port}"

    async def prepare(self) -> None:
        if self._runtime is None:
            self._runtime = await asyncio.to_thread(self._make)
        await asyncio.to_thread(sweep_shared_memory, self.stack_id)

    def _make(self) -> TritonRuntime:
        try:
            runtime = prepare(self.settings.runtime, self.settings.triton_project, self.settings.uv)
            self.write_models(self.repository)
            if self.settings.pipelines_file is not None:
                apply_file(Repository(self.repository), self.settings.pipelines_file)
        except RuntimeUnavailable as error:
            raise StartFailed(f"Triton's environment could not be made: {error}") from error
        except UnsupportedModel as error:
            raise StartFailed(f"the models could not be written to {self.repository}: {error}") from error
        except Refused as refusal:
            raise StartFailed(f"the pipelines could not be written:\n{refusal}") from refusal
        return runtime

    def command(self) -> Command:
        if self._runtime is None:
            raise StartFailed("triton was not prepared")
        command = self._runtime.command(
            self.repository, self.grpc_port, self.metrics_port, self.control_secret, self.stack_id
        )
        # Its models run in processes of their own that would outlive a killed server for seconds.
        argv = (*command.argv, *self.trace_options)
        return replace(command, argv=argv, env={**command.env, STACK: self.stack_id}, guarded=True)

    async def probe(self) -> None:
        """Every model of the catalog says that it is ready."""
        await asyncio.to_thread(self._probe)

    def _probe(self) -> None:
        models = {model for pipeline in self.catalog().pipelines for model in pipeline.models}
        with TritonInference(self.address, timeout_s=2) as client:
            missing = sorted(model.name for model in models if not client.is_ready(model))
        if missing:
            raise NotReady(f"not ready: {', '.join(missing)}")

    def catalog(self) -> Catalog:
        """What the repository holds, as written by `prepare`."""
        return Catalog.model_validate_json((self.repository / CATALOG).read_text())

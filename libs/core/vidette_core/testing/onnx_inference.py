"""The Inference port without a server, for tests that are about something else. Held to the same contract as Triton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime as ort

from vidette_core.domain.pipelines import ModelRef
from vidette_core.ports.errors import Rejected, Unavailable
from vidette_core.ports.inference import Tensor


class OnnxInference:
    """Runs the models of a Triton repository in this process, each on one thread. `away` makes the server unreachable."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._sessions: dict[tuple[str, int], ort.InferenceSession] = {}
        self.away = False

    def infer(self, model: ModelRef, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        """As the port says."""
        if not self.is_ready(model):
            raise Unavailable(f"{model.name} version {model.version} is not served")
        try:
            results = self._session(model).run(list(outputs), dict(inputs))
        # ONNX Runtime's own exceptions share no base below Exception; ValueError is its word for a missing input.
        except Exception as error:
            raise Rejected(f"{model.name}: {error}") from error
        return dict(zip(outputs, results, strict=True))

    def is_live(self) -> bool:
        """As the port says."""
        return not self.away

    def is_ready(self, model: ModelRef) -> bool:
        """As the port says."""
        return not self.away and self._path(model).is_file()

    def _path(self, model: ModelRef) -> Path:
        return self._repository / model.name / str(model.version) / "model.onnx"

    def _session(self, model: ModelRef) -> ort.InferenceSession:
        key = (model.name, model.version)
        if key not in self._sessions:
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 4
            path = str(self._path(model))
            self._sessions[key] = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return self._sessions[key]

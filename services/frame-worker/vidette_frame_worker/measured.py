"""Inference, timed: what every request took, by model, for the worker's metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vidette_core.domain.pipelines import ModelRef
from vidette_core.ports.inference import Inference, Tensor
from vidette_core.telemetry.metrics import INFERENCE_SECONDS


class MeasuredInference:
    """The same port around another; failed requests count too, since they took their time."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    def infer(self, model: ModelRef, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        with INFERENCE_SECONDS.labels(model.name).time():
            return self._inference.infer(model, inputs, outputs)

    def is_live(self) -> bool:
        return self._inference.is_live()

    def is_ready(self, model: ModelRef) -> bool:
        return self._inference.is_ready(model)

"""Running a model on a batch of arrays. The adapter for Triton is `adapters.triton`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from vidette_core.domain.pipelines import ModelRef

Tensor = NDArray[Any]


class Inference(Protocol):
    """Thread-safe: a worker has several requests in flight."""

    def infer(self, model: ModelRef, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        """Run `model` once and return the named outputs.

        Raises:
            Unavailable: the server is away, overloaded, out of time, or does not serve the model now.
            Rejected: the server ran or checked the request and refused it.
        """

    def is_live(self) -> bool:
        """Whether the server answers at all, with the models or without them."""

    def is_ready(self, model: ModelRef) -> bool:
        """Whether the server says that this version can be called. False when the server does not answer."""

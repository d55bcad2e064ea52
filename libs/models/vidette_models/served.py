"""A model as the repository takes it: the ONNX file, and what Triton has to be told about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from onnx import ValueInfoProto

from vidette_models.errors import UnsupportedModel
from vidette_models.graph import dims, element_type, graph_inputs, read_model

_TRITON_TYPES = {"FLOAT": "TYPE_FP32", "UINT8": "TYPE_UINT8", "INT32": "TYPE_INT32", "INT64": "TYPE_INT64"}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output: Triton's name of the type, and the shape without the batch; -1 is any length."""

    name: str
    type: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What the repository writes for one model.

    `max_batch_size` bounds the pictures of one run. `warmup` gives the length of each open dimension of the one input for the
    first, empty, run, in order.
    """

    name: str
    onnx: bytes
    max_batch_size: int
    warmup: tuple[int, ...] = ()

    @property
    def digest(self) -> str:
        """`sha256:` and the hex digest of the ONNX file."""
        return "sha256:" + hashlib.sha256(self.onnx).hexdigest()


def tensor_specs(onnx: bytes) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of an ONNX file, all of which must have the batch as an open first axis."""
    model = read_model(onnx)
    inputs = tuple(_spec(value) for value in graph_inputs(model))
    return inputs, tuple(_spec(value) for value in model.graph.output)


def _spec(value: ValueInfoProto) -> TensorSpec:
    kind, shape = element_type(value), dims(value)
    if kind not in _TRITON_TYPES:
        raise UnsupportedModel(f"tensor {value.name}", found=kind, expected=", ".join(_TRITON_TYPES))
    if not shape or isinstance(shape[0], int):
        raise UnsupportedModel(f"tensor {value.name}", found=f"shape {shape}", expected="an open batch axis first")
    return TensorSpec(value.name, _TRITON_TYPES[kind], tuple(dim if isinstance(dim, int) else -1 for dim in shape[1:]))

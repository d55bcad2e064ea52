"""Reading an ONNX file with clear errors, and appending nodes to a graph without spelling protobuf at every step.

Operators that changed between opset 11 and today (axes as an attribute or as an input) are written here for the opset at hand,
so that an exported model keeps the opset that its exporter chose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.compose
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vidette_models.errors import UnsupportedModel

Dim = int | str | None
"""A dimension as ONNX has it: fixed, named, or unknown."""

MINIMUM_OPSET = 11
"""NonMaxSuppression, GatherND, ScatterND and TopK have had their present form since opset 11."""
MAXIMUM_BYTES = 2**31 - 1
"""No protobuf message is longer."""
_OTHER_FORMATS = (
    (b"PK", "a ZIP archive, as PyTorch's .pt is"),
    (b"\x80", "a Python pickle"),
    (b"\x08\x00\x00\x00TFL3", "a TensorFlow Lite model"),
    (b"\x1cTFL3", "a TensorFlow Lite model"),
)
_AXES_INPUT_REDUCE_OPSET = 18
_AXES_INPUT_UNSQUEEZE_OPSET = 13


def read_model(source: bytes | Path) -> onnx.ModelProto:
    """Parse an ONNX file that carries its weights inside.

    Raises:
        UnsupportedModel: it cannot be read, is no ONNX file, has weights in a file of their own, or an opset below 11.
    """
    data = source if isinstance(source, bytes) else _read_file(source)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError, which has no types
        raise _not_onnx(data) from error
    if not model.graph.node or not model.graph.output:
        raise _not_onnx(data)
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in _tensors(model)):
        raise UnsupportedModel(
            "weights outside the file",
            found="external data",
            expected="one file",
            remedy="Export without external data.",
        )
    version = opset(model)
    if version < MINIMUM_OPSET:
        raise UnsupportedModel(
            "ONNX opset too old",
            found=f"opset {version}",
            expected=f"{MINIMUM_OPSET} or later",
            remedy="Export it again with a later opset.",
        )
    return model


def _read_file(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise UnsupportedModel(
                "model file",
                found=f"{path.stat().st_size} bytes",
                expected=f"at most {MAXIMUM_BYTES}, protobuf's limit",
            )
        return path.read_bytes()
    except OSError as error:
        raise UnsupportedModel(
            "model file", found=f"{path}: {error.strerror}", expected="a file that can be read"
        ) from error


def _not_onnx(data: bytes) -> UnsupportedModel:
    found = next((what for magic, what in _OTHER_FORMATS if data.startswith(magic)), "no graph in it")
    remedy = "Export the model to ONNX, and give the whole file."
    return UnsupportedModel(
        "not an ONNX file", found=f"{len(data)} bytes, {found}", expected="an ONNX model", remedy=remedy
    )


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every tensor that may keep its data elsewhere: weights and constants, of the graph, of graphs in nodes, of functions."""
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            yield from (part for sparse in graph.sparse_initializer for part in (sparse.values, sparse.indices))
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            yield from (attribute.t, *attribute.tensors)
            graphs.extend((attribute.g, *attribute.graphs))


def opset(model: onnx.ModelProto) -> int:
    """The version of the standard operators that the model uses; 0 when it names none."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def graph_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """What a caller feeds: old exporters list the weights among the inputs too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def dims(value: onnx.ValueInfoProto) -> tuple[Dim, ...]:
    """The declared shape of a graph's input or output."""
    shape = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in shape)


def element_type(value: onnx.ValueInfoProto) -> str:
    """`FLOAT`, `UINT8`, …: the name of the value's element type."""
    return str(TensorProto.DataType.Name(value.type.tensor_type.elem_type))


def isolate(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model under names of its own, so that `boxes` or `scores` inside it cannot meet ours."""
    return onnx.compose.add_prefix(model, "model/")


def write_model(model: onnx.ModelProto) -> bytes:
    """The file's bytes, the same for the same model, after ONNX's own checker has passed it."""
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


class GraphBuilder:
    """Appends nodes to a graph. Each method returns the name of what its node makes."""

    def __init__(self, graph: onnx.GraphProto, opset_version: int, prefix: str) -> None:
        self._graph = graph
        self._opset = opset_version
        self._prefix = prefix
        self._made = 0

    def node(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """One node with one output, named `output` or by number."""
        return self.nodes(operator, *inputs, outputs=(output,), **attributes)[0]

    def nodes(self, operator: str, *inputs: str, outputs: Sequence[str | None], **attributes: Any) -> tuple[str, ...]:
        """One node with several outputs."""
        names = tuple(output or self._name() for output in outputs)
        self._graph.node.append(helper.make_node(operator, inputs, names, name=self._name(), **attributes))
        return names

    def constant(self, value: NDArray[Any]) -> str:
        """A tensor known when the graph is composed."""
        name = self._name()
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def scalar(self, value: float) -> str:
        """A FLOAT tensor without dimensions."""
        return self.constant(np.array(value, np.float32))

    def floats(self, *values: float) -> str:
        """A FLOAT tensor of one dimension."""
        return self.constant(np.array(values, np.float32))

    def integers(self, *values: int) -> str:
        """An INT64 tensor of one dimension, as shapes, axes and counts are."""
        return self.constant(np.array(values, np.int64))

    def slice(self, tensor: str, start: int, end: int, axis: int) -> str:
        """`tensor[start:end]` along one axis."""
        return self.node("Slice", tensor, self.integers(start), self.integers(end), self.integers(axis))

    def reduce_max(self, tensor: str, *axes: int, keepdims: bool = False, output: str | None = None) -> str:
        """The greatest value along `axes`."""
        if self._opset >= _AXES_INPUT_REDUCE_OPSET:
            return self.node("ReduceMax", tensor, self.integers(*axes), keepdims=int(keepdims), output=output)
        return self.node("ReduceMax", tensor, axes=list(axes), keepdims=int(keepdims), output=output)

    def unsqueeze(self, tensor: str, axis: int, output: str | None = None) -> str:
        """A new axis of length 1."""
        if self._opset >= _AXES_INPUT_UNSQUEEZE_OPSET:
            return self.node("Unsqueeze", tensor, self.integers(axis), output=output)
        return self.node("Unsqueeze", tensor, axes=[axis], output=output)

    def squeeze(self, tensor: str, axis: int, output: str | None = None) -> str:
        """Without an axis of length 1."""
        if self._opset >= _AXES_INPUT_UNSQUEEZE_OPSET:
            return self.node("Squeeze", tensor, self.integers(axis), output=output)
        return self.node("Squeeze", tensor, axes=[axis], output=output)

    def _name(self) -> str:
        self._made += 1
        return f"{self._prefix}/{self._made}"

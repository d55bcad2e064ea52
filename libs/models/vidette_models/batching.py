"""Making a model that was exported for one picture take any number of them.

Exporters bake the batch of 1 into the target shapes of Reshape nodes. There a leading 0 means "copy the input's dimension",
which is the same for one picture and right for many. Whether that was all that stood in the way is then tried, not assumed; where
it was not, the model is run on one picture after the other inside the graph, which always holds and is slower on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vidette_models.errors import UnsupportedModel
from vidette_models.graph import GraphBuilder, dims, graph_inputs, opset
from vidette_models.runtime import Runner

_SEED = 20
"""Any fixed number: the same model is to be accepted or refused every time."""


@dataclass(frozen=True, slots=True)
class Batched:
    """A model with an open batch axis, and what it answered to two pictures of noise.

    `one_by_one`: its pictures are run one after the other.
    """

    model: onnx.ModelProto
    answer: NDArray[np.float32]
    one_by_one: bool


def make_batched(model: onnx.ModelProto, shape: tuple[int, ...], white: float) -> Batched:
    """Free the batch of a model that takes at least one picture. `model` itself is not changed.

    Args:
        model: one FLOAT input [N or 1,...], one FLOAT output with the same leading axis.
        shape: the input's shape without the batch.
        white: the greatest value in a picture.

    Raises:
        UnsupportedModel: it does not load, does not run on a picture, or answers no numbers.
    """
    noise = _noise(shape, white)
    answer = _run_alone(model, noise)
    # Suppression in an export is unrolled over the batch that it was exported with, and noise, in which nothing is found, would
    # not show that the other pictures are lost.
    unrolled = any(node.op_type == "NonMaxSuppression" for node in model.graph.node)
    freed = None if unrolled else _freed(model, noise, answer)
    return Batched(freed or _one_by_one(model, answer.shape[1:]), answer, one_by_one=freed is None)


def answer_to_noise(model: onnx.ModelProto, shape: tuple[int, ...], white: float) -> NDArray[np.float32]:
    """What a model answers to the two pictures that `make_batched` shows it, with another value for white."""
    return _run_alone(model, _noise(shape, white))


def _noise(shape: tuple[int, ...], white: float) -> NDArray[np.float32]:
    return np.random.default_rng(_SEED).random((2, *shape), np.float32) * np.float32(white)


def _run_alone(model: onnx.ModelProto, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    runner = Runner(model)
    alone = [runner.run(pictures[index : index + 1], "one picture") for index in range(len(pictures))]
    if alone[0].ndim < 2 or alone[0].shape[0] != 1 or alone[0].shape != alone[1].shape:
        found = f"outputs {list(alone[0].shape)} and {list(alone[1].shape)} for two pictures, one at a time"
        raise UnsupportedModel("output", found=found, expected="one shape, [1, ...]")
    answer = np.concatenate(alone)
    if not np.isfinite(answer).all():
        found = "numbers that are not finite, for pictures of noise"
        raise UnsupportedModel("output", found=found, expected="finite numbers")
    return answer


def _freed(model: onnx.ModelProto, noise: NDArray[np.float32], alone: NDArray[np.float32]) -> onnx.ModelProto | None:
    """The model with a free batch; None when a picture's result would depend on its neighbours."""
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    (source,) = graph_inputs(freed)
    if dims(source)[0] == 1:
        _rewrite_reshapes(freed.graph, source.name)
    _open_batch(freed, source, freed.graph.output[0])
    try:
        together = Runner(freed).run(noise, "two pictures at once")
    except UnsupportedModel:
        return None
    same = together.shape == alone.shape and np.allclose(
        together, alone, rtol=1e-3, atol=1e-3 * float(np.abs(alone).max(initial=0))
    )
    return freed if same else None


def _open_batch(model: onnx.ModelProto, *values: onnx.ValueInfoProto) -> None:
    for value in values:
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    # Shapes that the exporter noted for one picture.
    del model.graph.value_info[:]


def _rewrite_reshapes(graph: onnx.GraphProto, source: str) -> None:
    shapes = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            shapes[node.output[0]] = node.attribute[0].t
    # Only what comes from the picture has a batch; a Reshape of pure weights keeps its leading 1.
    from_picture = {source}
    for index, node in enumerate(graph.node):
        if from_picture.isdisjoint(node.input):
            continue
        from_picture.update(node.output)
        if node.op_type != "Reshape" or node.input[1] not in shapes:
            continue
        target = numpy_helper.to_array(shapes[node.input[1]]).copy()
        if target.size and target[0] == 1:
            target[0] = 0
            # A tensor of its own: the old one may serve other nodes too.
            name = f"vidette/batch/{index}"
            graph.initializer.append(numpy_helper.from_array(target, name))
            node.input[1] = name


def _one_by_one(model: onnx.ModelProto, answer: tuple[int, ...]) -> onnx.ModelProto:
    """The model as the body of a Scan over the batch; its weights stay outside, where the body sees them."""
    batched = onnx.ModelProto()
    batched.CopyFrom(model)
    graph = batched.graph
    (source,) = graph_inputs(batched)
    picture, result, inner = "vidette/one/picture", "vidette/one/result", list(graph.node)
    del graph.node[:]
    body = onnx.GraphProto(name="one picture")
    builder = GraphBuilder(body, opset(batched), "vidette/one")
    builder.unsqueeze(picture, 0, output=source.name)
    body.node.extend(inner)
    builder.squeeze(graph.output[0].name, 0, output=result)
    lengths = [dim if isinstance(dim, int) else None for dim in dims(source)[1:]]
    body.input.append(helper.make_tensor_value_info(picture, TensorProto.FLOAT, lengths))
    body.output.append(helper.make_tensor_value_info(result, TensorProto.FLOAT, list(answer)))
    pictures, results = "vidette/all/pictures", "vidette/all/results"
    scan = helper.make_node("Scan", [pictures], [results], name="vidette/scan", body=body, num_scan_inputs=1)
    graph.node.append(scan)
    source.name = pictures
    graph.output[0].CopyFrom(helper.make_tensor_value_info(results, TensorProto.FLOAT, ["N", *answer]))
    _open_batch(batched, source)
    return batched

"""Making a model that was exported for one picture take any number of them.

Exporters bake the batch of 1 into the target shapes of Reshape nodes. There a leading 0 means "copy the input's dimension",
which is the same for one picture and right for many. Whether that was all that stood in the way is then tried, not assumed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper

from vidette_models.errors import UnsupportedModel
from vidette_models.graph import dims, graph_inputs

_REMEDY = "Export it with a dynamic batch axis."
_SEED = 20
"""Any fixed number: the same model is to be accepted or refused every time."""


def free_batch(model: onnx.ModelProto) -> None:
    """Turn a batch fixed to 1 into the axis `N`, in place. A batch that is already free is left as it is."""
    (source,) = graph_inputs(model)
    if dims(source)[0] == 1:
        _rewrite_reshapes(model, source.name)
    for value in (source, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    del model.graph.value_info[:]


def _rewrite_reshapes(model: onnx.ModelProto, source: str) -> None:
    graph = model.graph
    shapes = {tensor.name: tensor for tensor in graph.initializer}
    shapes |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
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


def prove_batches(model: onnx.ModelProto, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Run the model on two different pictures, alone and together, and return the output's shape for one.

    Args:
        model: one FLOAT input, one FLOAT output, both with a leading batch axis.
        shape: the input's shape without the batch.

    Raises:
        UnsupportedModel: it does not run, or a picture's result depends on its neighbour.
    """
    pictures = np.random.default_rng(_SEED).random((2, *shape), np.float32)
    session = _session(model)
    name = session.get_inputs()[0].name
    alone = [_run(session, name, pictures[index : index + 1], "one picture") for index in range(2)]
    together = _run(session, name, pictures, "two pictures at once")
    if together.shape != (2, *alone[0].shape[1:]):
        raise UnsupportedModel(
            "batch of 2", found=f"output {together.shape}", expected=f"{(2, *alone[0].shape[1:])}", remedy=_REMEDY
        )
    apart = np.concatenate(alone)
    if not np.allclose(together, apart, rtol=1e-3, atol=1e-3 * float(np.abs(apart).max())):
        found = f"results off by {float(np.abs(together - apart).max()):g}"
        raise UnsupportedModel("batch of 2", found=found, expected="those of one by one", remedy=_REMEDY)
    return tuple(int(length) for length in together.shape[1:])


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    # ONNX Runtime's own exceptions share no base below Exception.
    except Exception as error:
        raise UnsupportedModel(
            "ONNX Runtime cannot load it", found=_first_line(error), expected="a valid model"
        ) from error


def _run(session: ort.InferenceSession, name: str, pictures: NDArray[np.float32], what: str) -> NDArray[np.float32]:
    try:
        result: NDArray[Any] = session.run(None, {name: pictures})[0]
    except Exception as error:
        raise UnsupportedModel(what, found=_first_line(error), expected="a result", remedy=_REMEDY) from error
    return result


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]

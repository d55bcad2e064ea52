"""The PP-OCR models that the `rapidocr` wheel carries, with bytes in and little out.

What `rapidocr` does to a picture before its models is done here inside the graph, operation for operation, so that the models
see the same floats:

- it feeds BGR; the worker sends RGB like everywhere else, and the graph turns the channels round;
- detection: `x * (1/255)`, minus 0.5, times 2 (`DetPreProcess.normalize`); recognition: `x / 255`, minus 0.5, times 2
  (`TextRecognizer.resize_norm_img`);
- recognition pads on the right with zeros *after* normalising, which would be the byte 127.5. The worker pads with the byte 127
  (`PADDING`), and the graph zeroes every column that is 127 from top to bottom in all channels. Without that the text was the
  same on 60 strips, but probabilities moved by up to 0.026 (and by 0.075 with 128).

`prob` is the probability in 1/255, rounded half to even: `prob > 76` holds exactly where the model's own output is above
rapidocr's threshold of 0.3. Recognition keeps only the best class of each step: 2.9 KB instead of 26.9 MB for six strips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from vidette_models.errors import UnsupportedModel
from vidette_models.graph import Dim, GraphBuilder, graph_inputs, isolate, opset, read_model, write_model

STRIP_HEIGHT = 48
"""Height in pixels of what PP-OCR's recognition reads."""
PADDING = 127
"""The byte with which a worker pads a strip on the right."""
_DETECTION = "PP-OCRv6_det_small.onnx"
_RECOGNITION = "PP-OCRv6_rec_small.onnx"


@dataclass(frozen=True, slots=True)
class TextSources:
    """The wheel's files."""

    detection: Path
    recognition: Path


@dataclass(frozen=True, slots=True)
class TextGraphs:
    """Detection: `images` UINT8 [N,H,W,3] RGB (H and W multiples of 32) → `prob` UINT8 [N,1,H,W].

    Recognition: `images` UINT8 [N,48,W,3] RGB → `ids` INT32 [N,T], `probs` FP32 [N,T]. `alphabet[i]` is the text of class i + 1.
    """

    detection: bytes
    recognition: bytes
    alphabet: tuple[str, ...]


def find_sources() -> TextSources:
    """Where the installed `rapidocr` keeps its models, without importing it.

    Raises:
        UnsupportedModel: it is not installed, or carries other models.
    """
    spec = find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise UnsupportedModel(
            "PP-OCR models", found="no rapidocr", expected="the package", remedy="Install rapidocr==3.10.0."
        )
    folder = Path(spec.origin).parent / "models"
    for name in (_DETECTION, _RECOGNITION):
        if not (folder / name).is_file():
            raise UnsupportedModel("PP-OCR models", found=f"no {name} in rapidocr", expected="those of rapidocr 3.10.0")
    return TextSources(folder / _DETECTION, folder / _RECOGNITION)


def compose_text(sources: TextSources) -> TextGraphs:
    """Both models with bytes in, and the alphabet out of the recognition model's own metadata."""
    recognition = isolate(read_model(sources.recognition))
    return TextGraphs(
        detection=_compose_detection(isolate(read_model(sources.detection))),
        alphabet=_alphabet(recognition),
        recognition=_compose_recognition(recognition),
    )


def _alphabet(model: onnx.ModelProto) -> tuple[str, ...]:
    """The characters, and behind them the space that rapidocr's `CTCLabelDecode` adds. The blank, class 0, is left out."""
    characters = next((entry.value for entry in model.metadata_props if entry.key == "character"), None)
    if characters is None:
        raise UnsupportedModel("recognition model", found="no `character` metadata", expected="the alphabet")
    alphabet = (*characters.splitlines(), " ")
    classes = model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    if len(alphabet) + 1 != classes:
        raise UnsupportedModel(
            "alphabet", found=f"{len(alphabet)} characters", expected=f"{classes - 1}, and the blank"
        )
    return alphabet


def _compose_detection(model: onnx.ModelProto) -> bytes:
    inner, source, head = _take_nodes(model)
    builder = GraphBuilder(model.graph, opset(model), "vidette")
    planes = _bgr_planes(builder)
    _normalise(builder, builder.node("Mul", planes, builder.scalar(1 / 255.0)), source)
    model.graph.node.extend(inner)
    scaled = builder.node("Mul", head, builder.scalar(255))
    builder.node("Cast", builder.node("Round", scaled), to=TensorProto.UINT8, output="prob")
    return _finish(model, ["N", "H", "W", 3], (("prob", TensorProto.UINT8, ["N", 1, "H", "W"]),))


def _compose_recognition(model: onnx.ModelProto) -> bytes:
    inner, source, head = _take_nodes(model)
    builder = GraphBuilder(model.graph, opset(model), "vidette")
    planes = _bgr_planes(builder)
    normal = _normalise(builder, builder.node("Div", planes, builder.scalar(255)))
    distance = builder.node("Abs", builder.node("Sub", planes, builder.scalar(PADDING)))
    farthest = builder.reduce_max(distance, 1, 2, keepdims=True)
    drawn = builder.node("Greater", farthest, builder.scalar(0))
    builder.node("Where", drawn, normal, builder.scalar(0), output=source)
    model.graph.node.extend(inner)
    builder.node("Cast", builder.node("ArgMax", head, axis=2, keepdims=0), to=TensorProto.INT32, output="ids")
    builder.reduce_max(head, 2, output="probs")
    outputs = (("ids", TensorProto.INT32, ["N", "T"]), ("probs", TensorProto.FLOAT, ["N", "T"]))
    return _finish(model, ["N", STRIP_HEIGHT, "W", 3], outputs)


def _take_nodes(model: onnx.ModelProto) -> tuple[list[onnx.NodeProto], str, str]:
    inner = list(model.graph.node)
    del model.graph.node[:]
    return inner, graph_inputs(model)[0].name, model.graph.output[0].name


def _bgr_planes(builder: GraphBuilder) -> str:
    """UINT8 [N,H,W,3] RGB → FLOAT [N,3,H,W] BGR, still 0..255; moved about as bytes, which is a quarter of the traffic."""
    planes = builder.node("Transpose", "images", perm=[0, 3, 1, 2])
    turned = builder.node("Gather", planes, builder.integers(2, 1, 0), axis=1)
    return builder.node("Cast", turned, to=TensorProto.FLOAT)


def _normalise(builder: GraphBuilder, unit: str, output: str | None = None) -> str:
    """0..1 → -1..1."""
    centred = builder.node("Sub", unit, builder.scalar(0.5))
    return builder.node("Mul", centred, builder.scalar(2), output=output)


def _finish(model: onnx.ModelProto, shape: Sequence[Dim], outputs: Sequence[tuple[str, int, Sequence[Dim]]]) -> bytes:
    graph = model.graph
    del graph.input[:], graph.output[:], graph.value_info[:]
    # The alphabet travels in the catalog; two copies could differ.
    del model.metadata_props[:]
    graph.input.append(helper.make_tensor_value_info("images", TensorProto.UINT8, shape))
    graph.output.extend(helper.make_tensor_value_info(name, kind, out_shape) for name, kind, out_shape in outputs)
    return write_model(model)

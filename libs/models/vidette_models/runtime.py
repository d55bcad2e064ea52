"""Running a model in ONNX Runtime, the library that Triton's backend is made of, to see whether it can be served at all."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from vidette_models.errors import UnsupportedModel
from vidette_models.graph import MINIMUM_OPSET, opset

_SAYS_WHERE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : |/\S+\.(?:h|cc):\d+ .*?\) ")
"""What ONNX Runtime puts before and into its own words: number and kind, the place in its source."""


class Runner:
    """A model loaded on the CPU.

    Raises:
        UnsupportedModel: ONNX Runtime does not take it; by name where the opset or the file format is too new.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        try:
            self._session = _load(model)
        # ONNX Runtime's own exceptions share no base below Exception.
        except Exception as error:
            raise _refusal(model, error) from error
        self._input = self._session.get_inputs()[0].name

    def run(self, pictures: NDArray[np.float32], what: str) -> NDArray[np.float32]:
        """The one output for FLOAT [n,3,S,S].

        Raises:
            UnsupportedModel: it fails; `what` it was asked for is in the message.
        """
        try:
            result: NDArray[Any] = self._session.run(None, {self._input: pictures})[0]
        except Exception as error:
            raise UnsupportedModel(what, found=first_line(error), expected="a result") from error
        return result


def _load(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _refusal(model: onnx.ModelProto, error: Exception) -> UnsupportedModel:
    runtime, version = f"ONNX Runtime {ort.__version__}", opset(model)
    if not _takes(version, ir=onnx.IR_VERSION_2019_9_19):
        newest = next((older for older in range(version, MINIMUM_OPSET, -1) if _takes(older)), MINIMUM_OPSET)
        return UnsupportedModel(
            "ONNX opset too new",
            found=f"opset {version}",
            expected=f"{MINIMUM_OPSET} to {newest}, which {runtime} runs",
            remedy=f"Export it again with opset {newest} or lower.",
        )
    if not _takes(version, ir=model.ir_version):
        return UnsupportedModel(
            "ONNX file format too new",
            found=f"IR version {model.ir_version}",
            expected=f"one that {runtime} reads",
            remedy="Export it again with an older release of the exporter, or of onnx.",
        )
    return UnsupportedModel(f"{runtime} cannot load it", found=first_line(error), expected="a valid model")


def _takes(version: int, ir: int = onnx.IR_VERSION_2019_9_19) -> bool:
    """Whether ONNX Runtime loads a model of nothing but this opset and file format."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", ends[:1], ends[1:])
    probe = onnx.ModelProto(graph=graph, ir_version=ir, opset_import=[helper.make_opsetid("", version)])
    try:
        _load(probe)
    except Exception:
        return False
    return True


def first_line(error: Exception) -> str:
    """What an error says, without where in the library's source it arose, in 300 characters."""
    line = next(iter(str(error).splitlines()), type(error).__name__)
    return _SAYS_WHERE.sub("", line)[:300]

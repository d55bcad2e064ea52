"""Triton's `onnxruntime` backend for machines without NVIDIA's image, written with the Python backend and ONNX Runtime's wheel.

The Triton that can be had as a wheel carries the Python backend only. Placed as `<backends>/onnxruntime/model.py`, this file
serves every model whose configuration says `backend: "onnxruntime"`, so that one model repository is good for a laptop and for
the C++ backend of production. Our configurations are complete, so nothing is auto-completed.

It runs in Triton's stub process with numpy < 2: with numpy 2 outputs have the right shape and no bytes.
"""

from __future__ import annotations

import json
import os
import select
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

ERROR_PREFIX = "onnxruntime: "
"""Opens the message of every error that a run itself ended in; clients tell a bad picture from a sick server by it."""


class TritonPythonModel:
    """One instance of one model version. Triton makes it, calls `execute` from one thread, and drops it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model. An exception here is the model's load error, which Triton reports as it is."""
        _end_with_parent()
        config = json.loads(args["model_config"])
        path = Path(pb.get_model_dir()) / (config.get("default_model_filename") or "model.onnx")
        self._session = ort.InferenceSession(str(path), _options(config), providers=["CPUExecutionProvider"])
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._batches = config["max_batch_size"] > 0

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request, in order."""
        if self._batches and len(requests) > 1:
            try:
                return self._run_together(requests)
            except Exception as error:  # ONNX Runtime's errors share no base; a request must not fail its neighbours
                pb.Logger.log_warn(f"a batch of {len(requests)} requests failed, running them one by one: {error}")
        return [self._run_alone(request) for request in requests]

    def _run_together(self, requests: Sequence[Any]) -> list[Any]:
        feeds = [self._feed(request) for request in requests]
        wanted = [list(request.requested_output_names()) for request in requests]
        names = sorted({name for each in wanted for name in each})
        joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in self._inputs}
        results = dict(zip(names, self._session.run(names, joined), strict=True))
        responses, start = [], 0
        for feed, each in zip(feeds, wanted, strict=True):
            end = start + len(feed[self._inputs[0]])
            responses.append(_response({name: results[name][start:end] for name in each}))
            start = end
        return responses

    def _run_alone(self, request: Any) -> Any:
        names, feed = list(request.requested_output_names()), self._feed(request)
        try:
            results = self._session.run(names, feed)
        except Exception as error:  # only what the run itself ends in may be laid at the request's door
            return pb.InferenceResponse(output_tensors=[], error=pb.TritonError(f"{ERROR_PREFIX}{error}"))
        return _response(dict(zip(names, results, strict=True)))

    def _feed(self, request: Any) -> Arrays:
        return {name: pb.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}


def _end_with_parent() -> None:
    """End this process soon after the server: after a SIGKILL of the server its stubs would stay for good.

    A parent-death signal will not do: it is tied to the thread that forked, and Triton's loading threads come and go. Whoever
    starts the server still has to end its process group: about one stub in fifty was seen to stay.
    """
    server = os.pidfd_open(os.getppid())

    def watch() -> None:
        select.select([server], [], [])
        os._exit(1)

    threading.Thread(target=watch, name="server-watch", daemon=True).start()


def _options(config: dict[str, Any]) -> ort.SessionOptions:
    """Those of the C++ backend's parameters that our configurations use, with their names and defaults."""
    parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", "0"))
    for key, value in parameters.items():
        if key.startswith("session."):
            options.add_session_config_entry(key, value)
    return options


def _response(outputs: Arrays) -> Any:
    return pb.InferenceResponse(output_tensors=[pb.Tensor(name, array) for name, array in outputs.items()])

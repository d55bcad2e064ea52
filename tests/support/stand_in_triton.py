"""A gRPC server in Triton's place, whose answers a test makes: for what a real one never does, or not when a test wants it.

    with stand_in_triton(answer) as address:
        ...

`answer` takes the request of one inference and returns the response, both as Triton's protocol has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from vidette_core.domain.pipelines import ModelRef
from vidette_core.ports.inference import Inference, Tensor

_AT_ONCE = 256
_MAX_MESSAGE = 2**28
_NO_DIGEST = "sha256:" + "0" * 64
Infer = Callable[[Any], Any]
"""A `ModelInferRequest` in, a `ModelInferResponse` out."""


@dataclass(frozen=True, slots=True)
class _Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated code without types
    infer: Infer

    def ServerLive(self, _: Any, __: Any) -> Any:  # noqa: N802 - as the protocol names it
        return service_pb2.ServerLiveResponse(live=True)

    def ModelReady(self, _: Any, __: Any) -> Any:  # noqa: N802 - as the protocol names it
        return service_pb2.ModelReadyResponse(ready=True)

    def ModelInfer(self, request: Any, _: Any) -> Any:  # noqa: N802 - as the protocol names it
        return self.infer(request)


@contextmanager
def stand_in_triton(infer: Infer, port: int = 0) -> Iterator[str]:
    """Its `host:port`, by default with a free port. It lives, and every model is ready."""
    options = [("grpc.max_receive_message_length", _MAX_MESSAGE), ("grpc.max_send_message_length", _MAX_MESSAGE)]
    server = grpc.server(ThreadPoolExecutor(_AT_ONCE), options=options)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Servicer(infer), server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def response_of(request: Any, answers: Mapping[str, Tensor]) -> Any:
    """What Triton would send of these arrays: the outputs that were asked for, in that order, as raw bytes."""
    response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=request.model_version)
    for asked in request.outputs:
        array = answers[asked.name]
        response.outputs.add(name=asked.name, datatype=np_to_triton_dtype(array.dtype), shape=array.shape)
        response.raw_output_contents.append(np.ascontiguousarray(array).tobytes())
    return response


def answers_of(inference: Inference) -> Infer:
    """Answers that the port's `infer` gives, sent as Triton would."""

    def infer(request: Any) -> Any:
        model = ModelRef(name=request.model_name, version=int(request.model_version), digest=_NO_DIGEST)
        arrays = {
            told.name: np.frombuffer(raw, triton_to_np_dtype(told.datatype)).reshape(tuple(told.shape))
            for told, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        return response_of(request, inference.infer(model, arrays, [asked.name for asked in request.outputs]))

    return infer

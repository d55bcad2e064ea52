"""A stand-in for Triton that finds nothing and always takes the same time for it: as many models as one likes, on no CPU.

For what is about workers and not about models: with a real server on the same cores, inference would set every pace.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

_AT_ONCE = 256
_MAX_MESSAGE = 2**28
_SHAPES = {"boxes": (1, 1, 4), "scores": (1, 1), "classes": (1, 1)}
"""Of a detector's outputs (docs/models.md), with one box whose score is 0."""


@dataclass(frozen=True, slots=True)
class _Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated code without types
    latency_s: float

    def ServerLive(self, _: Any, __: Any) -> Any:  # noqa: N802 - as the protocol names it
        return service_pb2.ServerLiveResponse(live=True)

    def ModelReady(self, _: Any, __: Any) -> Any:  # noqa: N802 - as the protocol names it
        return service_pb2.ModelReadyResponse(ready=True)

    def ModelInfer(self, request: Any, _: Any) -> Any:  # noqa: N802 - as the protocol names it
        time.sleep(self.latency_s)
        answer = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=request.model_version)
        for asked in request.outputs:
            shape = _SHAPES[asked.name]
            datatype = "INT32" if asked.name == "classes" else "FP32"
            answer.outputs.add(name=asked.name, datatype=datatype, shape=shape)
            count = 1
            for side in shape:
                count *= side
            answer.raw_output_contents.append(bytes(4 * count))
        return answer


@contextmanager
def fixed_latency_triton(latency_s: float) -> Iterator[str]:
    """Its `host:port`."""
    options = [("grpc.max_receive_message_length", _MAX_MESSAGE)]
    server = grpc.server(ThreadPoolExecutor(_AT_ONCE), options=options)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Servicer(latency_s), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()

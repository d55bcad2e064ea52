"""A gRPC server that answers as Triton does on a bad day: which answers blame the request, and which the server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from vidette_core.adapters.triton import TritonInference
from vidette_core.domain.pipelines import ModelRef
from vidette_core.ports.errors import PortError, Rejected, Unavailable

MODEL = ModelRef(name="model", version=1, digest="sha256:" + "0" * 64)
INTERNAL, INVALID = grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT

SAYINGS: dict[str, tuple[grpc.StatusCode, str, type[PortError]]] = {
    "our backend's failed run": (INTERNAL, "onnxruntime: indices element out of data bounds", Rejected),
    "NVIDIA's failed run": (INTERNAL, "onnx runtime error 2: Non-zero status code returned", Rejected),
    "a request that does not fit": (INVALID, "unexpected shape for input 'frames'", Rejected),
    "a dead stub": (INTERNAL, "Stub process 'model_0_0' is not healthy.", Unavailable),
    "a stub that died while it ran": (
        INTERNAL, "Failed to process the request(s) for 'model_0_0', message: Stub process is not healthy", Unavailable
    ),
    "no shared memory left": (INTERNAL, "Failed to increase the shared memory pool size for key 'x'", Unavailable),
    "no memory left": (INTERNAL, "onnxruntime: Failed to allocate memory for requested buffer of size 9", Unavailable),
    "a sick GPU": (INTERNAL, "onnx runtime error 6: CUDA failure 700: an illegal memory access", Unavailable),
    "an unknown model": (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'model' is not found", Unavailable),
    "an unloaded model": (grpc.StatusCode.UNAVAILABLE, "Request for model 'model' is not ready", Unavailable),
    "a full queue": (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", Unavailable),
    "too much at once": (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded", Unavailable),
    "a cancelled call": (grpc.StatusCode.CANCELLED, "cancelled", Unavailable),
    "anything unheard of": (grpc.StatusCode.UNKNOWN, "", Unavailable),
}  # fmt: skip


class Speaker(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # tritonclient has no types
    """Answers with `error`, or else with an output of one float in as many bytes as `raw` has."""

    error: tuple[grpc.StatusCode, str] | None = None
    raw = b""

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's own name
        if self.error:
            context.abort(*self.error)
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        response.outputs.add(name="y", datatype="FP32", shape=[1, 1])
        response.raw_output_contents.append(self.raw)
        return response


@pytest.fixture
def speaker() -> Speaker:
    return Speaker()


@pytest.fixture
def inference(speaker: Speaker) -> Iterator[TritonInference]:
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(speaker, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with TritonInference(f"127.0.0.1:{port}", timeout_s=5) as client:
        yield client
    server.stop(None).wait(5)


def ask(inference: TritonInference) -> float:
    return float(inference.infer(MODEL, {"x": np.zeros((1, 1), np.float32)}, ["y"])["y"][0, 0])


@pytest.mark.parametrize("saying", SAYINGS)
def test_the_blame_is_where_it_belongs(inference: TritonInference, speaker: Speaker, saying: str) -> None:
    code, words, kind = SAYINGS[saying]
    speaker.error = (code, words)
    with pytest.raises(kind, match="model version 1"):
        ask(inference)


def test_an_output_of_the_right_shape_without_bytes_is_a_sick_server(
    inference: TritonInference, speaker: Speaker
) -> None:
    speaker.raw = np.float32(2.5).tobytes()
    assert ask(inference) == 2.5
    speaker.raw = b""
    with pytest.raises(Unavailable, match="other bytes than promised"):
        ask(inference)


def test_a_missing_output_is_a_sick_server(inference: TritonInference, speaker: Speaker) -> None:
    speaker.raw = np.float32(2.5).tobytes()
    with pytest.raises(Unavailable, match="without output z"):
        inference.infer(MODEL, {"x": np.zeros((1, 1), np.float32)}, ["z"])


def test_nobody_at_the_address_is_unavailable() -> None:
    with TritonInference("127.0.0.1:1", timeout_s=2) as client:
        assert not client.is_ready(MODEL)
        with pytest.raises(Unavailable):
            ask(client)

"""Triton over gRPC: inference for workers, and administration for whoever holds the control secret.

The only module that knows `tritonclient`. The art is in telling whose fault an error is. A frame must never be blamed for a sick
server, so an error is `Rejected` only where Triton refused the request itself (INVALID_ARGUMENT) or where the model's own run
ended in an error of ONNX Runtime that is not about memory or the device. Everything else, a dead Python stub among it, is
`Unavailable`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from vidette_core.domain.pipelines import ModelRef
from vidette_core.ports.errors import PortError, Rejected, Unavailable
from vidette_core.ports.inference import Tensor
from vidette_core.telemetry.tracing import carried_to_models

CONTROL_HEADER = "triton-grpc-protocol-vidette-control"
"""The header that a server started with `--grpc-restricted-protocol=…:vidette-control=SECRET` wants for its administration."""

_RUN_ERRORS = ("onnxruntime: ", "onnx runtime error")
"""How the messages of a failed run open, as our CPU stand-in and as NVIDIA's backend write them."""
_SICK_SERVER = ("out of memory", "failed to allocate", "cuda", "cudnn", "cublas", "bad allocation")
"""What a run's error says when the machine, not the picture, is its cause."""
_LONGEST_MESSAGE = 300

_CHANNEL_OPTIONS = (
    # Over a headless Service the default, pick_first, would send everything to one server.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.max_send_message_length", triton.MAX_GRPC_MESSAGE_SIZE),
    ("grpc.max_receive_message_length", triton.MAX_GRPC_MESSAGE_SIZE),
    # A server whose machine vanished sends no reset: without keep-alives its connection would be used for a quarter of an hour.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Any ping unanswered for so long ends the connection: 60 s by default, whatever the keep-alive's own limit says.
    ("grpc.http2.ping_timeout_ms", 10_000),
    # After a server's restart the next attempt would by default come up to two minutes later.
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class _Connection:
    """A channel and how it is closed; every call on it has a deadline of `timeout_s` seconds."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._client = triton.InferenceServerClient(url, channel_args=list(_CHANNEL_OPTIONS))
        self._timeout_s = timeout_s

    def close(self) -> None:
        """Close the channel. Calls in flight fail as `Unavailable`."""
        self._client.close()

    def is_live(self) -> bool:
        """Whether the server answers at all, with the models or without them."""
        try:
            return bool(self._client.is_server_live(client_timeout=self._timeout_s))
        except (InferenceServerException, ValueError):
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class TritonInference(_Connection):
    """`ports.inference.Inference` on a Triton server, or on all that a name of the DNS stands for.

    Args:
        url: `host:port`, or a gRPC target such as `dns:///triton-headless:8001`.
        timeout_s: the deadline of one call, in seconds: waiting in the server's queue and running.
    """

    def __init__(self, url: str, timeout_s: float = 60.0) -> None:
        super().__init__(url, timeout_s)

    def infer(self, model: ModelRef, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        """Run `model` once and return the named outputs, as read-only arrays.

        Raises:
            Unavailable: the server is away, overloaded, out of time, or does not serve the model now.
            Rejected: the server checked the request or ran it, and it is the request that is at fault.
        """
        try:
            result = self._client.infer(
                model.name,
                [_input(name, array) for name, array in inputs.items()],
                model_version=str(model.version),
                outputs=[triton.InferRequestedOutput(name) for name in outputs],
                client_timeout=self._timeout_s,
                headers=carried_to_models(),
            )
        except InferenceServerException as error:
            raise _inference_error(error, model) from error
        except ValueError as error:  # what the client library calls a call on a closed channel
            raise Unavailable(f"the connection to Triton is closed: {error}") from error
        return {name: _output(result, name, model) for name in outputs}

    def is_ready(self, model: ModelRef) -> bool:
        """Whether the server says that this version can be called. False when the server does not answer."""
        try:
            return bool(self._client.is_model_ready(model.name, str(model.version), client_timeout=self._timeout_s))
        except (InferenceServerException, ValueError):
            return False


class TritonAdmin(_Connection):
    """What the supervisor of a server may do and workers may not.

    Raises `Unavailable` when the server does not answer or refuses the secret, `Rejected` for what it answers with an error.
    """

    def __init__(self, url: str, control_secret: str, timeout_s: float = 10.0) -> None:
        super().__init__(url, timeout_s)
        self._headers = {CONTROL_HEADER: control_secret}

    def ready_models(self) -> frozenset[tuple[str, int]]:
        """Name and version of everything that is loaded. A Python stub that was killed still counts as loaded."""
        index = self._call("get_model_repository_index")
        return frozenset((entry.name, int(entry.version)) for entry in index.models if entry.state == "READY")

    def successes(self, name: str) -> int:
        """How many requests the model's versions have answered since they were loaded."""
        statistics = self._call("get_inference_statistics", name)
        return sum(int(entry.inference_stats.success.count) for entry in statistics.model_stats)

    def load(self, name: str, timeout_s: float = 120.0) -> None:
        """Load the model, or load it again if it changed. Returns when it is ready."""
        self._call("load_model", name, timeout_s=timeout_s)

    def unload(self, name: str) -> None:
        """Begin to unload the model. Loading it afterwards starts a new process for it, which cures a dead stub."""
        self._call("unload_model", name)

    def _call(self, method: str, *arguments: str, timeout_s: float | None = None) -> Any:
        deadline = timeout_s or self._timeout_s
        try:
            return getattr(self._client, method)(*arguments, headers=self._headers, client_timeout=deadline)
        except InferenceServerException as error:
            kind = Unavailable if error.status() in _NO_ANSWER else Rejected
            raise kind(f"Triton: {method} failed: {_words(error)}") from error
        except ValueError as error:
            raise Unavailable(f"the connection to Triton is closed: {error}") from error


_NO_ANSWER = frozenset(f"StatusCode.{code}" for code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"))


def _input(name: str, array: Tensor) -> triton.InferInput:
    tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(np.ascontiguousarray(array))
    return tensor


def _output(result: triton.InferResult, name: str, model: ModelRef) -> Tensor:
    try:
        array: Tensor | None = result.as_numpy(name)
    # Other bytes than dtype and shape promise: numpy 2 in a Python stub answers with too few, without an error.
    except (ValueError, struct.error) as error:
        raise Unavailable(f"Triton answered output {name} of {model.name} with other bytes than promised") from error
    if array is None:
        raise Unavailable(f"Triton answered {model.name} without output {name}")
    return array


def _inference_error(error: InferenceServerException, model: ModelRef) -> PortError:
    status, words = str(error.status()), _words(error)
    message = f"Triton, {model.name} version {model.version}: {words}"
    lowered = words.lower()
    if status == "StatusCode.INVALID_ARGUMENT":
        return Rejected(message)
    ran = any(opening in lowered for opening in _RUN_ERRORS)
    if ran and not any(sign in lowered for sign in _SICK_SERVER):
        return Rejected(message)
    return Unavailable(message)


def _words(error: InferenceServerException) -> str:
    """The server's own words, one line of them."""
    return " ".join(str(error.message()).split())[:_LONGEST_MESSAGE]

"""`config.pbtxt`, the same text for the CPU stand-in and for NVIDIA's image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vidette_models.served import ServedModel, TensorSpec, tensor_specs


@dataclass(frozen=True, slots=True)
class Serving:
    """How models are served, whatever they are.

    Attributes:
        dynamic_batching: join requests of equal shape. Off where results are compared byte for byte: batches round otherwise.
        queue_delay_us: how long a request waits for others, in microseconds; small beside any model's run.
        max_queue: requests waiting for one model; more are refused at once, which a worker treats as overload.
        threads: ONNX Runtime's threads inside an operator; 0 is one for each core.
    """

    dynamic_batching: bool = True
    queue_delay_us: int = 2000
    max_queue: int = 128
    threads: int = 0


def render_config(model: ServedModel, serving: Serving) -> str:
    """The configuration of one model, complete, so that no backend has to guess anything.

    `KIND_AUTO` is a GPU where there is one. `count` is explicit because a Python-based backend takes two instances without it.
    `allow_spinning=0`: threads that spin between operators cost more than they win beside decoding (67 against 60 frames/s).
    """
    inputs, outputs = tensor_specs(model.onnx)
    parts = [
        f'name: "{model.name}"',
        'backend: "onnxruntime"',
        'default_model_filename: "model.onnx"',
        f"{_BATCH}{model.max_batch_size}",
        *(_tensor("input", spec) for spec in inputs),
        *(_tensor("output", spec) for spec in outputs),
        "instance_group [ { count: 1 kind: KIND_AUTO } ]",
        # All that there are: an older one is there because a job has pinned it, and is deleted when none has.
        "version_policy { all { } }",
        _parameter("session.intra_op.allow_spinning", "0"),
        _parameter("intra_op_thread_count", str(serving.threads)),
        _warmup(model, inputs),
    ]
    if serving.dynamic_batching:
        policy = f"default_queue_policy {{ max_queue_size: {serving.max_queue} }}"
        parts.append(f"dynamic_batching {{ max_queue_delay_microseconds: {serving.queue_delay_us} {policy} }}")
    return "\n".join(parts) + "\n"


def _tensor(field: str, spec: TensorSpec) -> str:
    return f'{field} [ {{ name: "{spec.name}" data_type: {spec.type} dims: {_list(spec.dims)} }} ]'


def _parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'


def _warmup(model: ServedModel, inputs: Sequence[TensorSpec]) -> str:
    """One empty picture before the model counts as ready: the first run allocates, and on a GPU compiles."""
    (source,) = inputs
    lengths = iter(model.warmup)
    shape = tuple(next(lengths) if dim == -1 else dim for dim in source.dims)
    value = f"data_type: {source.type} dims: {_list(shape)} zero_data: true"
    return f'{_EMPTY} inputs {{ key: "{source.name}" value {{ {value} }} }} }} ]'


def _list(numbers: Sequence[int]) -> str:
    return f"[ {', '.join(map(str, numbers))} ]"


PRECISIONS = {"fp16": "FP16", "fp32": "FP32"}
"""What users call them, to what Triton's ONNX Runtime backend calls them (`precision_mode` in its README)."""
_ACCELERATED = "optimization { "
_BATCH = "max_batch_size: "
_EMPTY = 'model_warmup [ { name: "empty" batch_size: 1'
_FULL = 'model_warmup [ { name: "full" batch_size: '


@dataclass(frozen=True, slots=True)
class TensorRt:
    """ONNX Runtime's TensorRT provider. `precision` is a key of PRECISIONS; `engines` a folder of Triton's, kept or not."""

    precision: str
    engines: str


def accelerated(config: str, tensorrt: TensorRt | None) -> str:
    """A configuration of `render_config` with this accelerator in the place of any that it had; None is plain CUDA.

    TensorRT builds an engine for the shapes that it has seen, and another when a larger batch comes, which takes minutes. So the
    largest batch is run too before the model counts as ready: between one picture and that many there is nothing left to build.
    """
    lines = [line for line in config.splitlines() if not line.startswith((_ACCELERATED, _FULL))]
    if tensorrt is not None:
        options = {
            "precision_mode": PRECISIONS[tensorrt.precision],
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": tensorrt.engines,
        }
        given = " ".join(f'parameters {{ key: "{key}" value: "{value}" }}' for key, value in options.items())
        accelerator = f'gpu_execution_accelerator [ {{ name: "tensorrt" {given} }} ]'
        lines.append(f"{_ACCELERATED}execution_accelerators {{ {accelerator} }} }}")
        lines += _largest_warmup(lines)
    return "\n".join(lines) + "\n"


def _largest_warmup(lines: Sequence[str]) -> list[str]:
    largest = next(line.removeprefix(_BATCH) for line in lines if line.startswith(_BATCH))
    if int(largest) <= 1:
        return []
    return [_FULL + largest + line.removeprefix(_EMPTY) for line in lines if line.startswith(_EMPTY)]

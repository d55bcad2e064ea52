"""A real Triton for tests, from the working checkout's runtime (`.runtime`, made on first use), on ports of its own.

Register once, in `tests/conftest.py`: `pytest_plugins = ["tests.support.triton"]`.

| fixture | scope | what it gives |
|---|---|---|
| `triton_server` | session | `TritonServer` with the built-in pipelines, `lookup` and `tiny-detector` |
| `triton` | session | `TritonInference` for it |

Byte-for-byte comparisons need dynamic batching off, so here it is off. To kill or restart a server, start one of your own with
`triton_running`, from the main thread, outside a running event loop.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.detectors import LABELS, tiny_yolo
from vidette_core.adapters.triton import TritonAdmin, TritonInference
from vidette_core.domain.pipelines import Catalog, ModelRef
from vidette_local.child import Child
from vidette_local.ports import load_or_pick
from vidette_local.triton_runtime import TritonRuntime, prepare, sweep_shared_memory
from vidette_models.builtin import DEMO_FOLDER, write_builtin
from vidette_models.compose import compose_detector
from vidette_models.repository import Repository, file_digest
from vidette_models.served import ServedModel
from vidette_models.triton_config import Serving

ROOT = Path(__file__).parents[2]
SERVING = Serving(dynamic_batching=False, threads=1)
_SECRET = "control-secret-of-the-tests"
_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class TritonServer:
    """A running server and its repository."""

    url: str
    grpc_port: int
    repository: Path
    child: Child
    log: Path
    control_secret: str = field(repr=False)

    @property
    def owner(self) -> str:
        """Names its shared memory."""
        return _owner(self.grpc_port)

    def admin(self) -> TritonAdmin:
        """A fresh connection with the control secret."""
        return TritonAdmin(self.url, self.control_secret)

    def model(self, name: str) -> ModelRef:
        """The latest version of a model in its repository."""
        version = max(int(path.parent.name) for path in self.repository.glob(f"{name}/*/model.onnx"))
        digest = file_digest(self.repository / name / str(version) / "model.onnx")
        return ModelRef(name=name, version=version, digest=str(digest))

    def stub(self, name: str) -> psutil.Process:
        """The process in which a model runs."""
        children = psutil.Process(self.child.pid).children()
        alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
        (stub,) = [child for child in alive if any(f"/{name}/" in argument for argument in child.cmdline())]
        return stub


def _owner(grpc_port: int) -> str:
    return f"test{grpc_port}"


def triton_runtime() -> TritonRuntime:
    """The checkout's Triton, made when it is not there yet."""
    return prepare(ROOT / ".runtime", ROOT / "deploy" / "triton" / "cpu", "uv")


def lookup_model() -> ServedModel:
    """`index` INT32 [N,1] → `value` FP32 [N,1] out of ten: a run fails when an index lies outside, as no check can foresee."""
    table = numpy_helper.from_array(np.arange(10, dtype=np.float32) * 1.5, "table")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "index"], ["value"])],
        "lookup",
        [helper.make_tensor_value_info("index", TensorProto.INT32, ["N", 1])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["N", 1])],
        [table],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return ServedModel("lookup", model.SerializeToString(), max_batch_size=8)


def slow_model() -> ServedModel:
    """`x` FP32 [N,1] → `y` FP32 [N,1] equal to it where it is 0, after half a second or more of multiplying matrices."""
    side, rounds = 1200, 10
    nodes = [
        helper.make_node("Reshape", ["x", "column"], ["cell"]),
        helper.make_node("Expand", ["cell", "full"], ["m0"]),
    ]
    nodes += [helper.make_node("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"]) for i in range(rounds)]
    nodes += [helper.make_node("ReduceMax", [f"m{rounds}"], ["rows"], axes=[2], keepdims=0)]
    nodes += [helper.make_node("ReduceMax", ["rows"], ["y"], axes=[1], keepdims=1)]
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        [
            numpy_helper.from_array(np.array([0, 1, 1], np.int64), "column"),
            numpy_helper.from_array(np.array([1, side, side], np.int64), "full"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return ServedModel("slow", model.SerializeToString(), max_batch_size=1)


def tiny_detector_model(seed: int = 1) -> ServedModel:
    """The tiny detector, composed."""
    return ServedModel("tiny-detector", compose_detector(tiny_yolo(seed=seed), "yolo_raw", LABELS).onnx, 8)


def write_models(root: Path, *models: ServedModel, serving: Serving = SERVING) -> tuple[ModelRef, ...]:
    """Models without a pipeline."""
    repository = Repository(root, serving)
    with repository.locked():
        return tuple(repository.add(model) for model in models)


def write_pipelines(root: Path) -> Catalog:
    """The built-in pipelines; with the tiny detector where the demo's has not been trained."""
    demo = DEMO_FOLDER
    if not (demo / "detector.onnx").exists():
        demo = root.with_name(f"{root.name}-demo")
        demo.mkdir()
        (demo / "detector.onnx").write_bytes(tiny_yolo())
        (demo / "detector.json").write_text(json.dumps({"family": "yolo_raw", "labels": LABELS}))
    return write_builtin(root, SERVING, demo)


@contextmanager
def triton_running(folder: Path, repository: Path) -> Iterator[TritonServer]:
    """A server for `repository`, every model of which is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = load_or_pick(folder / "triton-ports.json", ["grpc", "metrics"])
    log = folder / "triton.log"
    owner = _owner(ports["grpc"])
    child = Child.start(triton_runtime().command(repository, ports["grpc"], ports["metrics"], _SECRET, owner), log)
    server = TritonServer(f"127.0.0.1:{ports['grpc']}", ports["grpc"], repository, child, log, _SECRET)
    try:
        _wait_ready(server)
        yield server
    finally:
        child.stop_blocking(15)
        sweep_shared_memory(owner)


def _wait_ready(server: TritonServer) -> None:
    expected = {path.parent.name for path in server.repository.glob("*/config.pbtxt")}
    deadline = time.monotonic() + _START_SECONDS
    with server.admin() as admin:
        while time.monotonic() < deadline and not server.child.ended:
            if admin.is_live() and {name for name, _ in admin.ready_models()} >= expected:
                return
            time.sleep(0.1)
    raise RuntimeError(f"Triton did not get ready:\n{server.log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def triton_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("triton")
    repository = folder / "repository"
    write_pipelines(repository)
    write_models(repository, lookup_model(), tiny_detector_model())
    with triton_running(folder, repository) as server:
        yield server


@pytest.fixture(scope="session")
def triton(triton_server: TritonServer) -> Iterator[TritonInference]:
    with TritonInference(triton_server.url) as inference:
        yield inference

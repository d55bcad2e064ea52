"""Our graphs and configurations in a real Triton."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc as raw

from tests.support.detectors import decode, frames, run_raw, tiny_yolo
from tests.support.triton import (
    TritonServer,
    lookup_model,
    slow_model,
    tiny_detector_model,
    triton_running,
    write_models,
)
from vidette_core.adapters.triton import TritonAdmin, TritonInference
from vidette_core.ports.errors import PortError, Rejected, Unavailable
from vidette_models.triton_config import Serving


def test_a_detector_answers_what_numpy_makes_of_its_export(
    triton: TritonInference, triton_server: TritonServer
) -> None:
    pictures = frames(3)
    outputs = ["boxes", "scores", "classes"]
    result = triton.infer(triton_server.model("tiny-detector"), {"frames": pictures}, outputs)
    for index, picture in enumerate(pictures):
        expected = decode(run_raw(tiny_yolo(), picture), score=0.25, iou=0.45, keep=100)
        for name, wanted in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(result[name][index], wanted, atol=1e-3, err_msg=name)


def test_success_is_counted(triton: TritonInference, triton_server: TritonServer) -> None:
    with triton_server.admin() as admin:
        before = admin.successes("lookup")
        triton.infer(triton_server.model("lookup"), {"index": np.zeros((1, 1), np.int32)}, ["value"])
        assert admin.successes("lookup") == before + 1


def test_a_worker_is_refused_everything_but_inference_and_health(triton_server: TritonServer) -> None:
    with TritonAdmin(triton_server.url, "not the secret") as admin:
        assert admin.is_live()
        for refused in (
            admin.ready_models,
            lambda: admin.successes("lookup"),
            lambda: admin.load("lookup"),
            lambda: admin.unload("lookup"),
        ):
            with pytest.raises(Unavailable, match="restricted"):
                refused()


@pytest.mark.parametrize(
    "method",
    [
        "get_server_metadata",
        "get_model_repository_index",
        "get_inference_statistics",
        "get_trace_settings",
        "get_log_settings",
        "get_system_shared_memory_status",
        "get_cuda_shared_memory_status",
    ],
)
def test_a_client_without_the_header_is_refused(triton_server: TritonServer, method: str) -> None:
    with (
        raw.InferenceServerClient(triton_server.url) as client,
        pytest.raises(raw.InferenceServerException, match="restricted, expecting header"),
    ):
        getattr(client, method)(client_timeout=5)


def test_the_server_listens_on_loopback_only(triton_server: TritonServer) -> None:
    listening = [
        item for item in psutil.Process(triton_server.child.pid).net_connections("tcp") if item.status == "LISTEN"
    ]
    assert len(listening) == 2, "gRPC and metrics, no HTTP"
    assert {item.laddr.ip for item in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_the_server_knows_nothing_of_our_environment(triton_server: TritonServer) -> None:
    names = set(psutil.Process(triton_server.child.pid).environ())
    assert names <= {
        "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "PATH", "LD_LIBRARY_PATH",
        "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_",
    }  # fmt: skip


def test_versions_batches_and_overload(tmp_path: Path) -> None:
    """One server for what needs other settings than the shared one's: its start is what costs time."""
    repository = tmp_path / "repository"
    joining = Serving(dynamic_batching=True, queue_delay_us=200_000, threads=1)
    (lookup,) = write_models(repository, lookup_model(), serving=joining)
    (slow,) = write_models(repository, slow_model(), serving=Serving(max_queue=1, threads=1))
    (old,) = write_models(repository, tiny_detector_model(seed=1))
    (new,) = write_models(repository, tiny_detector_model(seed=2))

    with triton_running(tmp_path / "run", repository) as server, TritonInference(server.url) as inference:

        def look_up(index: int) -> float | str:
            try:
                found = inference.infer(lookup, {"index": np.array([[index]], np.int32)}, ["value"])
                return float(found["value"][0, 0])
            except PortError as error:
                return type(error).__name__

        def wait_long(_: int) -> str:
            try:
                return str(inference.infer(slow, {"x": np.zeros((1, 1), np.float32)}, ["y"])["y"].tolist())
            except PortError as error:
                return type(error).__name__

        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(look_up, [1, 99, 3, 4]))
            overload = list(pool.map(wait_long, range(4)))
        pinned = [inference.infer(ref, {"frames": frames(1)}, ["boxes"])["boxes"] for ref in (old, new)]
        log = server.log.read_text()

    assert together == [1.5, Rejected.__name__, 4.5, 6.0], "a bad request does not fail its neighbours"
    assert "running them one by one" in log, "they did meet in one batch"
    assert sorted(set(overload)) == [Unavailable.__name__, "[[0.0]]"]
    assert not np.array_equal(pinned[0], pinned[1]), "the version that a job pinned answers, and not the latest"

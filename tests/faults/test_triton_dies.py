"""A killed model process, a killed server, a server out of time: never a frame's fault, and always cured."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.support.triton import TritonServer, lookup_model, slow_model, triton_running, write_models
from vidette_core.adapters.triton import TritonInference
from vidette_core.ports.errors import Unavailable
from vidette_core.ports.inference import Tensor
from vidette_local.triton_runtime import SHARED_MEMORY, shared_memory_prefix, sweep_shared_memory

ONE: dict[str, Tensor] = {"index": np.ones((1, 1), np.int32)}
ZERO: dict[str, Tensor] = {"x": np.zeros((1, 1), np.float32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dying-triton")
    write_models(folder / "repository", lookup_model(), slow_model())
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[TritonServer]:
    with triton_running(folder, folder / "repository") as running:
        yield running


def read(inference: TritonInference, server: TritonServer) -> float:
    return float(inference.infer(server.model("lookup"), ONE, ["value"])["value"][0, 0])


def test_a_killed_model_process_is_unavailable_until_unload_and_load(server: TritonServer) -> None:
    with TritonInference(server.url) as inference, server.admin() as admin:
        server.stub("lookup").kill()
        for _ in range(2):
            with pytest.raises(Unavailable, match="not healthy"):
                read(inference, server)
        assert inference.is_ready(server.model("lookup")), "Triton does not notice: only inference tells"
        admin.unload("lookup")
        admin.load("lookup")
        assert read(inference, server) == 1.5


def test_a_model_process_killed_in_the_middle_of_a_run_is_unavailable(server: TritonServer) -> None:
    with TritonInference(server.url) as inference, server.admin() as admin, ThreadPoolExecutor(1) as pool:
        running = pool.submit(inference.infer, server.model("slow"), ZERO, ["y"])
        time.sleep(0.15)
        server.stub("slow").kill()
        with pytest.raises(Unavailable):
            running.result(timeout=30)
        admin.unload("slow")
        admin.load("slow")
        assert inference.is_ready(server.model("slow"))


def test_a_run_past_its_deadline_is_unavailable(server: TritonServer) -> None:
    start = time.monotonic()
    with TritonInference(server.url, timeout_s=0.1) as inference, pytest.raises(Unavailable, match="Deadline"):
        inference.infer(server.model("slow"), ZERO, ["y"])
    assert time.monotonic() - start < 2


def test_a_closed_client_is_unavailable(server: TritonServer) -> None:
    inference = TritonInference(server.url)
    inference.close()
    assert not inference.is_ready(server.model("lookup"))
    with pytest.raises(Unavailable, match="closed"):
        read(inference, server)


def test_a_killed_server_leaves_no_process_and_no_memory_and_a_new_one_serves_old_clients(
    server: TritonServer, folder: Path
) -> None:
    with TritonInference(server.url) as inference:
        assert read(inference, server) == 1.5
        stubs = [server.stub(name) for name in ("lookup", "slow")]
        psutil.Process(server.child.pid).kill()

        with pytest.raises(Unavailable):
            read(inference, server)
        assert not inference.is_ready(server.model("lookup"))
        server.child.stop_blocking(5)  # ends what is left of the process group
        assert psutil.wait_procs(stubs, timeout=5)[1] == []
        assert sweep_shared_memory(server.owner) >= len(stubs)
        assert not list(SHARED_MEMORY.glob(f"{shared_memory_prefix(server.owner)}*"))

        with triton_running(folder, folder / "repository") as again:
            assert again.url == server.url
            deadline = time.monotonic() + 10
            while not inference.is_ready(server.model("lookup")) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert read(inference, server) == 1.5

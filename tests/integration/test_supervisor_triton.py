"""Triton as a part of the stack: ready means that every model is, and a dead model process is noticed and cured."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.processes import is_alive, paused, wait_until
from tests.support.triton import write_pipelines
from vidette_core.adapters.triton import TritonAdmin, TritonInference
from vidette_core.domain.pipelines import Catalog
from vidette_local.child import Child
from vidette_local.parts.part import running
from vidette_local.parts.triton import TritonPart
from vidette_local.ports import load_or_pick
from vidette_local.settings import LocalSettings
from vidette_local.triton_runtime import sweep_shared_memory
from vidette_local.triton_watch import MOST_UNANSWERED, TritonWatch, canaries


def make_part(folder: Path) -> TritonPart:
    ports = load_or_pick(folder / "ports.json", ["grpc", "metrics"])
    return TritonPart(
        settings=LocalSettings(home=folder),
        repository=folder / "models",
        stack_id=f"test{ports['grpc']}",
        grpc_port=ports["grpc"],
        metrics_port=ports["metrics"],
        control_secret="secret",
        write_models=lambda root: (root / "catalog.json").exists() or write_pipelines(root),
    )


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> TritonPart:
    return make_part(tmp_path_factory.mktemp("triton"))


@pytest.fixture(scope="module")
def server(part: TritonPart) -> Iterator[Child]:
    with running(part, part.repository.parent / "logs") as child:
        yield child


def watch(part: TritonPart, said: list[str]) -> TritonWatch:
    def fail() -> None:
        raise AssertionError("the server was to be started anew")

    return TritonWatch(part.address, part.control_secret, part.catalog, lambda _, what: said.append(what), fail)


def stub(server: Child, model: str) -> psutil.Process:
    """The process that runs the model."""
    (found,) = [
        child
        for child in psutil.Process(server.pid).children()
        if child.status() != psutil.STATUS_ZOMBIE and any(f"/{model}/" in argument for argument in child.cmdline())
    ]
    return found


def successes(part: TritonPart, model: str) -> int:
    with TritonAdmin(part.address, part.control_secret) as admin:
        return admin.successes(model)


@pytest.mark.usefixtures("server")
def test_every_model_answers_its_canary_when_the_part_is_ready(part: TritonPart) -> None:
    found = canaries(part.catalog())
    assert {canary.model for canary in found} == {model for line in part.catalog().pipelines for model in line.models}
    with TritonInference(part.address) as inference:
        for canary in found:
            assert inference.infer(canary.model, canary.inputs, [canary.output])[canary.output].shape[0] == 1


def test_a_dead_model_process_is_cured(part: TritonPart, server: Child) -> None:
    said: list[str] = []
    watcher = watch(part, said)
    watcher.look()
    assert said == []
    canary = canaries(part.catalog())[0]
    victim = stub(server, canary.model.name)
    victim.kill()
    wait_until(lambda: not is_alive(victim.pid), 5, "the model's process is dead")
    watcher.look()
    assert said == [
        f"model {canary.model.name} does not answer; loading it again",
        f"model {canary.model.name} is loaded again",
    ]
    with TritonInference(part.address) as inference:
        inference.infer(canary.model, canary.inputs, [canary.output])


@pytest.mark.usefixtures("server")
def test_a_model_that_works_gets_no_canary_and_an_idle_one_does(part: TritonPart) -> None:
    watcher = watch(part, [])
    watcher.look()
    busy, idle, *_ = canaries(part.catalog())
    before = {canary.model.name: successes(part, canary.model.name) for canary in (busy, idle)}
    with TritonInference(part.address) as inference:
        inference.infer(busy.model, busy.inputs, [busy.output])
    watcher.look()
    assert successes(part, busy.model.name) == before[busy.model.name] + 1
    assert successes(part, idle.model.name) == before[idle.model.name] + 1


def test_the_model_processes_of_a_killed_server_end_with_it(tmp_path: Path) -> None:
    part = make_part(tmp_path)
    with running(part, tmp_path / "logs") as server:
        models = [child.pid for child in psutil.Process(server.pid).children(recursive=True)]
        assert len(models) > len(canaries(part.catalog())), "the models and the guard"
        began = time.monotonic()
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not any(is_alive(pid) for pid in models), 2, "nothing of it is left")
        assert time.monotonic() - began < 2
    sweep_shared_memory(part.stack_id)


@pytest.mark.usefixtures("server")
def test_a_model_that_was_unloaded_is_loaded_though_another_cannot_be_looked_after(
    part: TritonPart,
) -> None:
    first, second, *_ = canaries(part.catalog())
    catalog = part.catalog().model_dump_json().replace(first.model.name, "nowhere")
    said: list[str] = []
    watcher = TritonWatch(
        part.address,
        part.control_secret,
        lambda: Catalog.model_validate_json(catalog),
        lambda _, what: said.append(what),
        said.clear,
    )
    with TritonAdmin(part.address, part.control_secret) as admin, TritonInference(part.address) as inference:
        admin.unload(second.model.name)
        wait_until(lambda: not inference.is_ready(second.model), 20, "the model is unloaded")
        watcher.look()
        watcher.look()
        assert inference.is_ready(second.model)
    assert f"model {second.model.name} was not loaded, and is now" in said
    (failure,) = [line for line in said if "nowhere" in line]
    assert failure.startswith("model nowhere could not be looked after: Triton: load_model failed")


def test_a_model_that_is_only_out_of_time_is_left_alone(part: TritonPart) -> None:
    said: list[str] = []
    watcher = TritonWatch(
        part.address,
        part.control_secret,
        part.catalog,
        lambda _, what: said.append(what),
        lambda: said.append("restart"),
        canary_seconds=0.0005,  # no model is as quick as that
    )
    for _ in range(3):
        watcher.look()
    assert said == []


def test_a_server_that_answers_nothing_is_started_anew_and_one_that_is_starting_is_left_alone(
    part: TritonPart, server: Child
) -> None:
    restarts: list[str] = []
    ready = True
    watcher = TritonWatch(
        part.address,
        part.control_secret,
        part.catalog,
        lambda _, what: restarts.append(what),
        lambda: restarts.append("restart"),
        runs=lambda: ready,
        answer_seconds=1,
    )
    with paused(server.pid):
        ready = False
        for _ in range(MOST_UNANSWERED):
            watcher.look()
        assert restarts == []
        ready = True
        watcher.look()
        assert [line for line in restarts if line == "restart"] == ["restart"]

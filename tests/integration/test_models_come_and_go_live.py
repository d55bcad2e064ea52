"""Changing the models of a running Triton: what is published is served, and what does not load leaves no trace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.support.detectors import LABELS, tiny_yolo
from tests.support.triton import SERVING, TritonServer, triton_running, write_pipelines
from vidette_core.adapters.triton import TritonInference
from vidette_core.domain.pipelines import Detector, ModelRef
from vidette_local.model_server import RunningStack
from vidette_models.compose import ComposedDetector, compose_detector
from vidette_models.refusal import Refused
from vidette_models.repository import Repository
from vidette_models.user_models import Change, ServerTrouble, add_model, remove_model

NAME = "mine"
SOURCE = "sha256:" + "0" * 64


class StackWithJobs(RunningStack):
    """The real server; what unfinished jobs need is said by the test."""

    needed: frozenset[ModelRef] | None = frozenset()

    def pinned(self) -> frozenset[ModelRef] | None:
        return self.needed


@dataclass(frozen=True, slots=True)
class Live:
    server: TritonServer
    repository: Repository
    stack: StackWithJobs

    def add(self, seed: int) -> Detector:
        return add_model(self.repository, self.stack, NAME, composed(seed), SOURCE).model.detector

    def loaded(self) -> set[int]:
        with self.server.admin() as admin:
            return {version for name, version in admin.ready_models() if name == NAME}


def composed(seed: int) -> ComposedDetector:
    return compose_detector(tiny_yolo(seed=seed), "yolo_raw", LABELS)


def unservable(seed: int) -> ComposedDetector:
    """As `composed`, but with an operator that no server has."""
    good = composed(seed)
    return replace(good, onnx=_unknown_operator(good.size, good.keep))


def _unknown_operator(size: int, keep: int) -> bytes:
    node = helper.make_node("Divine", ["frames"], ["boxes", "scores", "classes"], domain="nowhere.example")
    graph = helper.make_graph(
        [node],
        "divine",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", size, size, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", keep, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", keep]),
            helper.make_tensor_value_info("classes", TensorProto.INT32, ["N", keep]),
        ],
    )
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere.example", 1)]
    content: bytes = helper.make_model(graph, opset_imports=domains, ir_version=8).SerializeToString()
    return content


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("live")
    write_pipelines(folder / "repository")
    with triton_running(folder, folder / "repository") as running:
        yield running


@pytest.fixture
def live(server: TritonServer) -> Iterator[Live]:
    repository = Repository(server.repository, SERVING)
    stack = StackWithJobs(repository, server.url, server.control_secret, None)
    yield Live(server, repository, stack)
    stack.needed = frozenset()
    if any(model.name == NAME for model in repository.existing_catalog().models):
        remove_model(repository, stack, NAME)


def files(repository: Repository) -> dict[str, bytes]:
    paths = [path for path in repository.root.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(repository.root)): path.read_bytes() for path in paths}


def infer(server: TritonServer, model: ModelRef, size: int) -> None:
    with TritonInference(server.url, 30) as inference:
        inference.infer(model, {"frames": np.zeros((1, size, size, 3), np.uint8)}, ("boxes", "scores", "classes"))


def test_an_added_model_answers_at_once_and_a_removed_one_is_gone(live: Live) -> None:
    detector = live.add(seed=1)
    infer(live.server, detector.model, detector.size)
    catalog = live.repository.existing_catalog()
    assert {NAME, f"{NAME}_ocr"} <= set(catalog.ids)
    pruned = remove_model(live.repository, live.stack, NAME)
    assert pruned.versions == ((NAME, 1),)
    assert live.loaded() == set()
    assert NAME not in live.repository.names()
    assert not {NAME, f"{NAME}_ocr"} & set(live.repository.existing_catalog().ids)


def test_a_version_that_a_job_pinned_outlives_its_replacement_and_removal(live: Live) -> None:
    first = live.add(seed=1)
    live.stack.needed = frozenset({first.model})
    live.add(seed=2)
    third = live.add(seed=3)
    assert live.loaded() == {1, 3}, "the second was needed by nobody"
    assert live.repository.versions(NAME) == [1, 3]
    remove_model(live.repository, live.stack, NAME)
    assert live.loaded() == {1}
    infer(live.server, first.model, first.size)
    with TritonInference(live.server.url) as inference:
        assert not inference.is_ready(third.model)


def test_requests_to_the_old_version_are_answered_while_a_new_one_is_loaded(live: Live) -> None:
    first = live.add(seed=1)
    live.stack.needed = frozenset({first.model})
    stop = threading.Event()
    failures: list[Exception] = []
    answered: list[int] = []

    def ask() -> None:
        with TritonInference(live.server.url, 30) as inference:
            frames = {"frames": np.zeros((1, first.size, first.size, 3), np.uint8)}
            while not stop.is_set():
                try:
                    inference.infer(first.model, frames, ("scores",))
                    answered.append(1)
                except Exception as error:
                    failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        live.add(seed=2)
        live.add(seed=3)
        remove_model(live.repository, live.stack, NAME)
    finally:
        stop.set()
        asking.join(60)
    assert answered
    assert failures == []


def test_a_model_that_does_not_load_leaves_everything_as_it_was(live: Live) -> None:
    first = live.add(seed=1)
    before = files(live.repository)
    with pytest.raises(Refused, match=f"{NAME} was not added: Triton cannot serve it"):
        add_model(live.repository, live.stack, NAME, unservable(2), SOURCE)
    assert files(live.repository) == before
    assert live.loaded() == {1}
    infer(live.server, first.model, first.size)


def test_a_new_model_that_does_not_load_leaves_no_trace(live: Live) -> None:
    before = files(live.repository)
    with pytest.raises(Refused, match="broken was not added"):
        add_model(live.repository, live.stack, "broken", unservable(1), SOURCE)
    assert files(live.repository) == before
    with live.server.admin() as admin:
        assert not [version for name, version in admin.ready_models() if name == "broken"]


def test_a_model_is_not_added_while_the_server_is_away(live: Live) -> None:
    before = files(live.repository)
    away = StackWithJobs(live.repository, "127.0.0.1:1", "secret", None)
    with pytest.raises(ServerTrouble, match="Try again in a moment"):
        add_model(live.repository, away, NAME, composed(1), SOURCE)
    assert files(live.repository) == before


def test_the_same_model_again_changes_nothing(live: Live) -> None:
    live.add(seed=1)
    before = files(live.repository)
    again = add_model(live.repository, live.stack, NAME, composed(1), SOURCE)
    assert again.change is Change.UNCHANGED
    assert files(live.repository) == before


def test_versions_are_kept_while_nobody_can_tell_what_jobs_need(live: Live) -> None:
    live.add(seed=1)
    live.stack.needed = None
    added = add_model(live.repository, live.stack, NAME, composed(2), SOURCE)
    assert added.pruned.versions == ()
    assert added.pruned.postponed
    assert live.loaded() == {1, 2}

"""What every implementation of the Inference port does: Triton, and the one for tests that runs in this process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.support.detectors import frames
from tests.support.triton import TritonServer
from vidette_core.adapters.triton import TritonInference
from vidette_core.domain.pipelines import ModelRef
from vidette_core.ports.errors import Rejected, Unavailable
from vidette_core.ports.inference import Inference, Tensor
from vidette_core.testing.onnx_inference import OnnxInference


@pytest.fixture(params=["in process", "triton"])
def inference(request: pytest.FixtureRequest, triton_server: TritonServer) -> Inference:
    if request.param == "in process":
        return OnnxInference(triton_server.repository)
    implementation: Inference = request.getfixturevalue("triton")
    return implementation


@pytest.fixture
def lookup(triton_server: TritonServer) -> ModelRef:
    return triton_server.model("lookup")


def indices(*values: int) -> dict[str, Tensor]:
    return {"index": np.array(values, np.int32).reshape(-1, 1)}


def test_it_returns_the_named_output(inference: Inference, lookup: ModelRef) -> None:
    result = inference.infer(lookup, indices(1, 4), ["value"])
    assert list(result) == ["value"]
    assert result["value"].dtype == np.float32
    np.testing.assert_array_equal(result["value"], [[1.5], [6.0]])


def test_it_returns_only_the_outputs_asked_for(inference: Inference, triton_server: TritonServer) -> None:
    result = inference.infer(triton_server.model("tiny-detector"), {"frames": frames(2)}, ["scores", "classes"])
    assert {name: (array.shape, array.dtype.name) for name, array in result.items()} == {
        "scores": ((2, 100), "float32"),
        "classes": ((2, 100), "int32"),
    }


def test_the_memory_layout_of_an_input_does_not_matter(inference: Inference, triton_server: TritonServer) -> None:
    detector, pictures = triton_server.model("tiny-detector"), frames(2)
    mirrored = pictures[:, :, ::-1]
    assert not mirrored.flags.c_contiguous
    for name in ("boxes", "scores", "classes"):
        np.testing.assert_array_equal(
            inference.infer(detector, {"frames": mirrored}, [name])[name],
            inference.infer(detector, {"frames": mirrored.copy()}, [name])[name],
        )


def test_requests_at_the_same_time_get_their_own_answers(inference: Inference, lookup: ModelRef) -> None:
    def ask(index: int) -> float:
        return float(inference.infer(lookup, indices(index), ["value"])["value"][0, 0])

    asked = [index % 10 for index in range(60)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, asked)) == [index * 1.5 for index in asked]


def test_a_served_version_is_ready_and_others_are_not(inference: Inference, lookup: ModelRef) -> None:
    assert inference.is_ready(lookup)
    assert not inference.is_ready(lookup.model_copy(update={"version": 7}))
    assert not inference.is_ready(lookup.model_copy(update={"name": "nowhere"}))


def test_a_server_lives_whatever_models_it_has(inference: Inference, lookup: ModelRef) -> None:
    assert not inference.is_ready(lookup.model_copy(update={"name": "nowhere"}))
    assert inference.is_live()


def test_a_server_that_is_away_neither_lives_nor_is_ready(triton_server: TritonServer, lookup: ModelRef) -> None:
    in_process = OnnxInference(triton_server.repository)
    in_process.away = True
    with TritonInference("127.0.0.1:1", timeout_s=2) as nowhere:
        away: tuple[Inference, ...] = (in_process, nowhere)
        assert [(inference.is_live(), inference.is_ready(lookup)) for inference in away] == [(False, False)] * 2


@pytest.mark.parametrize("change", [{"version": 7}, {"name": "nowhere"}])
def test_a_model_that_is_not_served_is_unavailable(
    inference: Inference, lookup: ModelRef, change: dict[str, object]
) -> None:
    with pytest.raises(Unavailable):
        inference.infer(lookup.model_copy(update=change), indices(1), ["value"])


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"index": np.zeros((1, 1), np.float32)}, ["value"]),
        ({"index": np.zeros((1, 2), np.int32)}, ["value"]),
        ({"wrong": np.zeros((1, 1), np.int32)}, ["value"]),
        ({}, ["value"]),
        (indices(1), ["wrong"]),
        (indices(99), ["value"]),
    ],
    ids=["type", "shape", "input's name", "no input", "output's name", "the run itself"],
)
def test_a_request_at_fault_is_rejected_and_the_next_one_works(
    inference: Inference, lookup: ModelRef, inputs: dict[str, Tensor], outputs: list[str]
) -> None:
    with pytest.raises(Rejected, match="lookup"):
        inference.infer(lookup, inputs, outputs)
    assert inference.infer(lookup, indices(2), ["value"])["value"][0, 0] == 3.0

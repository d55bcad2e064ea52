"""What the dashboard draws of Triton's own metrics, a real server shows: under these names, with these labels."""

from __future__ import annotations

import json
import re
from urllib.request import urlopen

import numpy as np
import pytest

from tests.support.metrics_page import TRITONS_OWN
from tests.support.triton import TritonServer
from vidette_core.adapters.triton import TritonInference


@pytest.fixture
def shown(triton: TritonInference, triton_server: TritonServer) -> dict[str, set[str]]:
    """Each sample's name with the names of its labels, once a model has been asked.

    Read as it stands: prometheus_client's parser gives counters the ending `_total`, and Prometheus does not.
    """
    triton.infer(triton_server.model("lookup"), {"index": np.zeros((1, 1), np.int32)}, ["value"])
    port = json.loads((triton_server.log.parent / "triton-ports.json").read_text())["metrics"]
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        samples = re.findall(r"^(\w+)\{(.*)\} \S+$", answer.read().decode(), re.MULTILINE)
    return {name: set(re.findall(r'(\w+)="', labels)) for name, labels in samples}


@pytest.mark.parametrize("name", TRITONS_OWN)
def test_a_metric_that_is_drawn_is_shown_with_its_labels(shown: dict[str, set[str]], name: str) -> None:
    assert set(TRITONS_OWN[name]) <= shown[name]

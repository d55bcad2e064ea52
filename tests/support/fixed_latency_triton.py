"""A stand-in for Triton that finds nothing and always takes the same time for it: as many models as one likes, on no CPU.

For what is about workers and not about models: with a real server on the same cores, inference would set every pace.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from tests.support.stand_in_triton import response_of, stand_in_triton

_NOTHING = {
    "boxes": np.zeros((1, 1, 4), np.float32),
    "scores": np.zeros((1, 1), np.float32),
    "classes": np.zeros((1, 1), np.int32),
}
"""Of a detector's outputs (docs/models.md), with one box whose score is 0."""


def fixed_latency_triton(latency_s: float) -> AbstractContextManager[str]:
    """Its `host:port`."""

    def infer(request: Any) -> Any:
        time.sleep(latency_s)
        return response_of(request, _NOTHING)

    return stand_in_triton(infer)

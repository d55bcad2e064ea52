"""A model's answer, held against the contract that its pipeline names (`domain.pipelines`) before anything is made of it.

Triton does not see to that: what a model answers beside its contract comes here as it is. It is `Rejected`, so that a model that
answers so to everything, a blank picture too, is the pipeline's fault, and one that does so to one frame is that frame's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vidette_core.ports.errors import Rejected
from vidette_core.ports.inference import Tensor

ROUNDING = 1e-3
"""By how much a probability may be off: half precision is."""


def expected(answer: Mapping[str, Tensor], name: str, kind: DTypeLike, shape: tuple[int | None, ...]) -> Tensor:
    """The output, if it is of this dtype and shape; a side that is None may have any length. Raises `Rejected`."""
    array = answer[name]
    is_shaped = array.ndim == len(shape) and all(
        side in (None, size) for side, size in zip(shape, array.shape, strict=True)
    )
    if array.dtype != kind or not is_shaped:
        raise Rejected(
            f"a model answered {name} as {array.dtype} {list(array.shape)}, not as {np.dtype(kind)} {list(shape)}"
        )
    return array


def expect_probabilities(name: str, values: NDArray[np.float32]) -> None:
    """Raises `Rejected`, also for NaN, which compares false and would pass for what is not confident."""
    if not ((values >= -ROUNDING) & (values <= 1 + ROUNDING)).all():
        raise Rejected(f"a model answered {name} that are not all between 0 and 1")

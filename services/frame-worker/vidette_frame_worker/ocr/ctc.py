"""From the recogniser's best class per step to text (greedy CTC decoding, Graves et al., ICML 2006, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLANK = 0


def decode(ids: NDArray[np.int32], probs: NDArray[np.float32], alphabet: Sequence[str]) -> tuple[str, float]:
    """Text and confidence of one strip.

    Args:
        ids: INT32 [T], best class per step; class 0 is the blank and class i + 1 is `alphabet[i]`.
        probs: FP32 [T], its probability.

    Returns:
        The text, repeats merged and blanks dropped, and the mean probability of its characters, 0 where there are none.
    """
    kept = ids != BLANK
    kept[1:] &= ids[1:] != ids[:-1]
    if not kept.any():
        return "", 0.0
    text = "".join(alphabet[index - 1] for index in ids[kept])
    # Rounded as rapidocr does, so that the cut on confidence falls on the same side.
    confidence = np.mean([round(prob, 5) for prob in probs[kept].tolist()]).round(5)
    return text, min(float(confidence), 1.0)

"""How good a detector is: average precision against exact truth, without any framework.

Precision is integrated over every point of the recall curve (all-point interpolation, PASCAL VOC 2010 and later). A
found box counts once, for the true box of its class that it overlaps most and that no surer box has taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidette_models.demo.scenes import LABELS, Truth


@dataclass(frozen=True, slots=True)
class Predictions:
    """Found in one picture: boxes float32 [n, 4] (xyxy in pixels), scores float32 [n] (0..1), classes int64 [n]."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Mean average precision at two overlaps, and per class at the lower one; classes absent from the truth are left out."""

    pictures: int
    map50: float
    map75: float
    per_class50: dict[str, float]


def overlaps(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of boxes [n, 4] and [m, 4] (xyxy): float32 [n, m]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)


def _verdicts(found: NDArray[np.float32], true: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """For boxes in falling order of score, whether each is the first to find a true box."""
    right = np.zeros(len(found), np.bool_)
    if not len(true):
        return right
    overlap = overlaps(found, true)
    for row in range(len(found)):
        best = int(overlap[row].argmax())
        if overlap[row, best] >= threshold:
            right[row] = True
            overlap[:, best] = -1.0
    return right


def _average_precision(
    predictions: Sequence[Predictions], truths: Sequence[Truth], kind: int, threshold: float
) -> float | None:
    scores: list[NDArray[np.float32]] = []
    verdicts: list[NDArray[np.bool_]] = []
    total = 0
    for predicted, truth in zip(predictions, truths, strict=True):
        mine = np.flatnonzero(predicted.classes == kind)
        mine = mine[np.argsort(-predicted.scores[mine], kind="stable")]
        true = truth.boxes[truth.classes == kind]
        total += len(true)
        scores.append(predicted.scores[mine])
        verdicts.append(_verdicts(predicted.boxes[mine], true, threshold))
    if not total:
        return None
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hits = np.cumsum(np.concatenate(verdicts)[order])
    recall, precision = hits / total, hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * envelope))


def average_precisions(
    predictions: Sequence[Predictions], truths: Sequence[Truth], threshold: float
) -> dict[str, float]:
    """Average precision of each class that occurs in the truth, at one least overlap (0..1)."""
    found = {label: _average_precision(predictions, truths, kind, threshold) for kind, label in enumerate(LABELS)}
    return {label: precision for label, precision in found.items() if precision is not None}


def accuracy(predictions: Sequence[Predictions], truths: Sequence[Truth]) -> Accuracy:
    """All figures for pictures and their truths, pair by pair. Raises ValueError where no truth holds any object."""
    at50, at75 = (average_precisions(predictions, truths, threshold) for threshold in (0.5, 0.75))
    if not at50:
        raise ValueError("no object in any truth: there is nothing to measure against")
    means = [round(float(np.mean(list(found.values()))), 4) for found in (at50, at75)]
    return Accuracy(len(truths), means[0], means[1], {label: round(value, 4) for label, value in at50.items()})

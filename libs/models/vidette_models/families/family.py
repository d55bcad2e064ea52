"""What a family has to say about its exports, and what all of them share in saying it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from vidette_core.domain.pipelines import Letterbox
from vidette_models.errors import UnsupportedModel
from vidette_models.graph import GraphBuilder
from vidette_models.postprocess import Candidates, Detections


class Colours(StrEnum):
    """The order of the planes that the exported model takes."""

    RGB = "RGB"
    BGR = "BGR"


@dataclass(frozen=True, slots=True)
class Pixels:
    """The FLOAT [N,3,S,S] input of an exported model: its planes, and the value of a white pixel."""

    colours: Colours
    white: float


@dataclass(frozen=True, slots=True)
class Head:
    """What an exported model answers, as the families look at it.

    `answer` FLOAT [2,...]: the head for two pictures of noise, so that a family can hold numbers against what it declares where
    shapes are alike. `side` is the picture's, `labels` how many names the user gave.
    """

    answer: NDArray[np.float32]
    side: int
    labels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture, without the batch."""
        return self.answer.shape[1:]

    @property
    def text(self) -> str:
        """The shape as messages show it."""
        return f"[{', '.join(('N', *map(str, self.shape)))}]"


@dataclass(frozen=True, slots=True)
class Family:
    """One way of exporting a detector.

    `description` says what it is, `export` how its exporter is called. `pixels` and `letterbox` are what the model was trained
    on. `check(head)` returns how many candidates a picture has, or raises UnsupportedModel. `decode(builder, output, head)`
    appends what turns the output into boxes: Candidates, of which the overlapping ones are still to be suppressed, or
    Detections, which are final but for threshold and order.
    """

    name: str
    description: str
    export: str
    letterbox: Letterbox
    pixels: Pixels
    check: Callable[[Head], int]
    decode: Callable[[GraphBuilder, str, Head], Candidates | Detections]


def wrong_layout(family: str, head: Head, expected: str, remedy: str) -> UnsupportedModel:
    """The head has another shape than the family's."""
    return UnsupportedModel(f"output of a {family} detector", found=head.text, expected=expected, remedy=remedy)


def check_labels_match(head: Head, classes: int) -> None:
    """Raises:
    UnsupportedModel: there is not one label for each class of the head.
    """
    if classes != head.labels:
        found = f"{head.labels} names for output {head.text}, which has {classes} classes"
        raise UnsupportedModel("labels", found=found, expected="a name for each class")


def check_probabilities(family: str, scores: NDArray[np.float32], remedy: str) -> None:
    """Raises:
    UnsupportedModel: what should be probabilities is outside 0..1. Half precision may be off by a thousandth.
    """
    if not scores.size:
        return
    low, high = float(scores.min()), float(scores.max())
    # NaN compares false, and is refused with the rest.
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        found = f"numbers from {low:.3g} to {high:.3g} in the columns of scores"
        raise UnsupportedModel(f"scores of a {family} detector", found=found, expected="0 to 1", remedy=remedy)


def corners(builder: GraphBuilder, centre: str, span: str, axis: int) -> str:
    """Centres and widths with heights, two each along `axis`, → x1, y1, x2, y2 along it."""
    half = builder.node("Mul", span, builder.scalar(0.5))
    return builder.node("Concat", builder.node("Sub", centre, half), builder.node("Add", centre, half), axis=axis)


END = int(np.iinfo(np.int32).max)
"""As the end of a slice: up to the last."""

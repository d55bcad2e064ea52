"""The Inference port with answers that a test makes up, for what real models never do: refuse, lie, or be away by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vidette_core.domain.pipelines import Detector, Letterbox, ModelRef, Pipeline, TextReader
from vidette_core.ports.errors import PortError
from vidette_core.ports.inference import Tensor

GREY = 128
"""A frame of nothing but this is blank: it has no text."""
DIGEST = "sha256:" + "0" * 64
OBJECTS = ModelRef(name="objects", version=1, digest=DIGEST)
DETECTION = ModelRef(name="detection", version=1, digest=DIGEST)
RECOGNITION = ModelRef(name="recognition", version=1, digest=DIGEST)
READER = TextReader(detection=DETECTION, recognition=RECOGNITION, alphabet=("a", "b", " "))
DETECTOR = Detector(
    model=OBJECTS,
    family="made up",
    size=64,
    letterbox=Letterbox.CENTRE,
    labels=("thing",),
    score_threshold=0.25,
    iou_threshold=0.5,
)
PIPELINE = Pipeline(id="made-up", description="", detector=DETECTOR, text=READER)


class MadeUpModels:
    """Finds one object in every frame, takes what is bright for text, reads "ab" in every strip, and counts.

    `trouble` holds what is raised instead of an answer, by the model's name; `live` and `unready` are what the server says.
    """

    def __init__(
        self, trouble: Mapping[str, PortError] | None = None, ids: Sequence[int] = (1, 2), prob: float = 0.9
    ) -> None:
        self.trouble, self.ids, self.prob = dict(trouble or {}), ids, prob
        self.box, self.score = [8.0, 8.0, 24.0, 24.0], 0.75
        self.live = True
        self.unready: set[str] = set()
        self.requests: list[tuple[str, tuple[int, ...]]] = []

    def infer(self, model: ModelRef, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        (images,) = inputs.values()
        self.requests.append((model.name, images.shape))
        if model.name in self.trouble:
            raise self.trouble[model.name]
        answers = self._answers(model, images)
        return {name: answers[name] for name in outputs}

    def is_live(self) -> bool:
        return self.live

    def is_ready(self, model: ModelRef) -> bool:
        return self.live and model.name not in self.unready

    def _answers(self, model: ModelRef, images: Tensor) -> dict[str, Tensor]:
        if model == OBJECTS:
            return {
                "boxes": np.array([[self.box, [0.0] * 4]], np.float32),
                "scores": np.array([[self.score, 0]], np.float32),
                "classes": np.array([[0, -1]], np.int32),
            }
        if model == DETECTION:
            light = images[..., 0][:, None]
            return {"prob": np.where(light > GREY, light, 0).astype(np.uint8)}
        rows = len(images)
        return {
            "ids": np.tile(np.array(self.ids, np.int32), (rows, 1)),
            "probs": np.full((rows, len(self.ids)), self.prob, np.float32),
        }


def bars(*tops: int) -> NDArray[np.uint8]:
    """A black frame with a bright bar, which is text to the made-up models, at each height."""
    image = np.zeros((736, 736, 3), np.uint8)
    for top in tops:
        image[top : top + 20, 100:300] = 255
    return image

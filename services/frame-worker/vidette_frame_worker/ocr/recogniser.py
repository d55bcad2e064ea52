"""The lines of text in one frame: find boxes, cut strips, recognise them, keep what is confident."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidette_core.domain.pipelines import TextReader
from vidette_core.domain.results import MAX_TEXT, TextLine
from vidette_core.ports.errors import Rejected
from vidette_core.ports.inference import Inference
from vidette_frame_worker.ocr import boxes, canvas, ctc, strips
from vidette_frame_worker.ocr.boxes import Quad
from vidette_frame_worker.ocr.canvas import Boxes, Canvas, Picture

CONFIDENT = 0.5


class TextRecogniser:
    """Reads frames with one pinned pair of models. Holds nothing between frames, so it is as thread-safe as `inference`."""

    def __init__(self, reader: TextReader, inference: Inference) -> None:
        self._reader = reader
        self._inference = inference

    def read(self, image: Picture) -> tuple[TextLine, ...]:
        """The lines of an RGB UINT8 [H,W,3] frame in reading order, polygons in its pixels, at most MAX_LINES.

        Raises:
            Unavailable, Rejected: what the models' server answered, unchanged.
            Rejected: it answered what cannot be read.
        """
        surface = canvas.prepare(image)
        found = self._find(surface)
        readings = self._recognise(surface, found)
        polygons = surface.to_frame(found)
        return tuple(
            TextLine(text=text, confidence=confidence, polygon=_polygon(polygon))
            for (text, confidence), polygon in zip(readings, polygons, strict=True)
            # What is NaN compares false, and is left out too.
            if text.strip() and confidence >= CONFIDENT
        )

    def prove(self, blank: Picture) -> None:
        """Ask both models for what cannot be at fault: a frame UINT8 [H,W,3] without text, and a strip without letters.

        The strip is needed because in such a frame no box is found, and so nothing would be recognised.

        Raises:
            Unavailable, Rejected: what the models' server answered, unchanged.
        """
        self._find(canvas.prepare(blank))
        self._ask(strips.blank())

    def _find(self, surface: Canvas) -> Boxes:
        images = canvas.detection_input(surface)
        answer = self._inference.infer(self._reader.detection, {"images": images}, ("prob",))
        height, width = surface.pixels.shape[:2]
        return boxes.find_boxes(answer["prob"][0, 0], width, height)

    def _recognise(self, surface: Canvas, found: Boxes) -> list[tuple[str, float]]:
        readings = [("", 0.0)] * len(found)
        for request in strips.plan(found):
            images = strips.pack(surface.pixels, found, request)
            for index, reading in zip(request.members, self._ask(images), strict=True):
                readings[index] = reading
        return readings

    def _ask(self, images: Picture) -> tuple[tuple[str, float], ...]:
        answer = self._inference.infer(self._reader.recognition, {"images": images}, ("ids", "probs"))
        if np.any((answer["ids"] < 0) | (answer["ids"] > len(self._reader.alphabet))):
            raise Rejected("the recogniser answered a class that its alphabet does not have")
        rows = zip(answer["ids"], answer["probs"], strict=True)
        return tuple(ctc.decode(ids, probs, self._reader.alphabet) for ids, probs in rows)


def join_lines(lines: Sequence[TextLine]) -> str:
    """The frame's `text`: lines in the order given, joined by line feeds; lines beyond MAX_TEXT characters are left out."""
    text = "\n".join(line.text for line in lines)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT + 1].rpartition("\n")[0]


def _polygon(quad: Quad) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]:
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = np.asarray(quad, np.float64).tolist()
    return (ax, ay), (bx, by), (cx, cy), (dx, dy)

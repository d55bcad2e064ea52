"""The lines of text in one frame: find boxes, cut strips, recognise them, keep what is confident."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vidette_core.domain.pipelines import TextReader
from vidette_core.domain.results import MAX_TEXT, TextLine
from vidette_core.ports.errors import Rejected
from vidette_core.ports.inference import Inference
from vidette_frame_worker.answers import expect_probabilities, expected
from vidette_frame_worker.ocr import boxes, canvas, ctc, likeness, strips
from vidette_frame_worker.ocr.boxes import Quad
from vidette_frame_worker.ocr.canvas import Boxes, Canvas, Picture
from vidette_frame_worker.ocr.memory import ChunkMemory, Reading, Seat
from vidette_frame_worker.ocr.strips import Request


class TextRecogniser:
    """Reads frames with one pinned pair of models. As thread-safe as `inference`: what frames share is in their seats."""

    def __init__(self, reader: TextReader, inference: Inference) -> None:
        self._reader = reader
        self._inference = inference

    def read(self, image: Picture, seat: Seat | None = None) -> tuple[TextLine, ...]:
        """The lines of an RGB UINT8 [H,W,3] frame in reading order, polygons in its pixels, at most MAX_LINES.

        With a seat, what an earlier frame of the chunk read is not read again where it stands unchanged; without, everything is.

        Raises:
            Unavailable, Rejected: what the models' server answered, unchanged.
            Rejected: it answered what cannot be read.
        """
        seat = seat or ChunkMemory().seat()
        surface = canvas.prepare(image)
        found = seat.boxes(surface.pixels, lambda: self._find(surface))
        readings = self._recognise(surface, found, seat)
        polygons = surface.to_frame(found)
        return tuple(
            TextLine(text=text, confidence=confidence, polygon=_polygon(polygon))
            for (text, confidence), polygon in zip(readings, polygons, strict=True)
            if text.strip() and confidence >= self._reader.confidence_threshold
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
        probability = expected(answer, "prob", np.uint8, (1, 1, *images.shape[1:3]))[0, 0]
        height, width = surface.pixels.shape[:2]
        return boxes.find_boxes(probability, width, height)

    def _recognise(self, surface: Canvas, found: Boxes, seat: Seat) -> list[Reading]:
        requests = strips.plan(found)

        def read(wanted: Sequence[int]) -> Iterator[tuple[int, Reading]]:
            for request in _parts_of(requests, frozenset(wanted)):
                images = strips.pack(surface.pixels, found, request)
                yield from zip(request.members, self._ask(images), strict=True)

        return seat.readings(likeness.lines_of(surface.pixels, found, requests), read)

    def _ask(self, images: Picture) -> tuple[Reading, ...]:
        answer = self._inference.infer(self._reader.recognition, {"images": images}, ("ids", "probs"))
        ids = expected(answer, "ids", np.int32, (len(images), None))
        probs = expected(answer, "probs", np.float32, ids.shape)
        if ids.shape[1] > images.shape[2]:
            raise Rejected("the recogniser answered more steps than the strips have columns")
        if np.any((ids < 0) | (ids > len(self._reader.alphabet))):
            raise Rejected("the recogniser answered a class that its alphabet does not have")
        expect_probabilities("probs", probs)
        return tuple(ctc.decode(*row, self._reader.alphabet) for row in zip(ids, probs, strict=True))


def _parts_of(requests: Sequence[Request], wanted: frozenset[int]) -> Iterator[Request]:
    """What is left of the requests when only some boxes are wanted; widths stay, since padding changes what is read."""
    for request in requests:
        if members := tuple(index for index in request.members if index in wanted):
            yield Request(request.width, members)


def join_lines(lines: Sequence[TextLine]) -> str:
    """The frame's `text`: lines in the order given, joined by line feeds; lines beyond MAX_TEXT characters are left out."""
    text = "\n".join(line.text for line in lines)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT + 1].rpartition("\n")[0]


def _polygon(quad: Quad) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]:
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = np.asarray(quad, np.float64).tolist()
    return (ax, ay), (bx, by), (cx, cy), (dx, dy)

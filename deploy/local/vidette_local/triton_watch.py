"""Notices a model whose process died inside a Triton that calls itself healthy, and cures it.

Triton's Python backend never starts a killed stub again, and live, ready and model-ready all stay true. So each model's success
counter is looked at; only where it stands still a canary inference runs (a probe on every look would queue behind the real
work), and a model that fails it twice is unloaded and loaded again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vidette_core.adapters.triton import TritonAdmin, TritonInference
from vidette_core.domain.pipelines import Catalog, ModelRef
from vidette_core.ports.errors import PortError
from vidette_core.ports.inference import Tensor
from vidette_local.say import Say

LOOK_SECONDS = 10.0
CANARY_SECONDS = 20.0
_SECOND_CANARY_SECONDS = 1.0
_MOST_CURES = 3  # failed cures of one model in a row, before the whole server is started anew
_STRIP = (48, 320)  # height and width of a recognition canary
_PICTURE = (320, 320)


@dataclass(frozen=True, slots=True)
class Canary:
    """A small request that the model must be able to answer."""

    model: ModelRef
    inputs: Mapping[str, Tensor]
    output: str


def canaries(catalog: Catalog) -> list[Canary]:
    """One for each model that any pipeline calls: a black picture of the model's shape, UINT8 [1,H,W,3]."""
    found: dict[str, Canary] = {}
    for pipeline in catalog.pipelines:
        if pipeline.detector is not None:
            size = pipeline.detector.size
            found[pipeline.detector.model.name] = _canary(pipeline.detector.model, "frames", (size, size), "scores")
        if pipeline.text is not None:
            detection, recognition = pipeline.text.detection, pipeline.text.recognition
            found[detection.name] = _canary(detection, "images", _PICTURE, "prob")
            found[recognition.name] = _canary(recognition, "images", _STRIP, "ids")
    return list(found.values())


def _canary(model: ModelRef, name: str, size: tuple[int, int], output: str) -> Canary:
    return Canary(model, {name: np.zeros((1, *size, 3), np.uint8)}, output)


class TritonWatch:
    """Looks after the models of one server.

    Args:
        url, control_secret: the server.
        catalog: read at every look, because models may be written while it runs.
        restart: called when unloading and loading does not help.
    """

    def __init__(
        self,
        url: str,
        control_secret: str,
        catalog: Callable[[], Catalog],
        say: Say,
        restart: Callable[[], None],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._url = url
        self._secret = control_secret
        self._catalog = catalog
        self._say = say
        self._restart = restart
        self._look_seconds = look_seconds
        self._successes: dict[str, int] = {}
        self._failed_cures: dict[str, int] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._look_seconds)
            try:
                await asyncio.to_thread(self.look)
            except (PortError, OSError, ValueError) as error:
                # The server is away, which the supervisor sees for itself, or the catalog is being replaced.
                self._say("triton", f"could not be looked at: {error}")

    def look(self) -> None:
        """Look once at every model; blocks for as long as canaries and cures take."""
        with TritonAdmin(self._url, self._secret) as admin, TritonInference(self._url, CANARY_SECONDS) as inference:
            if not admin.is_live():
                self._successes.clear()
                return
            for canary in canaries(self._catalog()):
                self._look_at(canary, admin, inference)

    def _look_at(self, canary: Canary, admin: TritonAdmin, inference: TritonInference) -> None:
        name = canary.model.name
        before, now = self._successes.get(name), admin.successes(name)
        # At the first look there is nothing to compare with, and readiness was only the server's word.
        if before != now and before is not None:
            self._successes[name] = now
            return
        if _answers(canary, inference):
            self._failed_cures.pop(name, None)
            self._successes[name] = admin.successes(name)  # the canary itself counts
        else:
            self._cure(canary, admin)
            self._successes.pop(name, None)

    def _cure(self, canary: Canary, admin: TritonAdmin) -> None:
        name = canary.model.name
        if self._failed_cures.get(name, 0) >= _MOST_CURES:
            self._say("triton", f"model {name} cannot be cured; starting the server anew")
            self._failed_cures.clear()
            self._restart()
            return
        self._failed_cures[name] = self._failed_cures.get(name, 0) + 1
        self._say("triton", f"model {name} does not answer; loading it again")
        admin.unload(name)
        admin.load(name)
        self._say("triton", f"model {name} is loaded again")


def _answers(canary: Canary, inference: TritonInference) -> bool:
    """Whether the model answers one of two requests, a pause between them."""
    for pause in (_SECOND_CANARY_SECONDS, 0.0):
        try:
            inference.infer(canary.model, canary.inputs, [canary.output])
        except PortError:
            time.sleep(pause)
        else:
            return True
    return False

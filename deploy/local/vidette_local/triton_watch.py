"""Notices what a supervisor of processes cannot see of a Triton that runs, and cures it: a server or a model that is not there.

A server that answers nothing is started anew, and a model that is not loaded is loaded. The third trouble hides: Triton's
Python backend never starts a killed stub again, and live, ready and model-ready all stay true. So each model's success counter
is looked at; only where it stands still a canary inference runs (a probe on every look would queue behind the real work), and
a model that fails it twice, or is silent for longer than any run may take, is unloaded and loaded again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from vidette_core.adapters.triton import TritonAdmin, TritonInference
from vidette_core.domain.pipelines import Catalog, ModelRef
from vidette_core.ports.errors import PortError
from vidette_core.ports.inference import Tensor
from vidette_local.say import Say

LOOK_SECONDS = 10.0
ANSWER_SECONDS = 10.0
CANARY_SECONDS = 20.0
SILENT_SECONDS = 90.0
"""A model that answers nobody for longer is taken for stuck. It may be slow: a worker waits 60 s for one request."""
_SECOND_CANARY_SECONDS = 1.0
MOST_UNANSWERED = 3
"""Looks in a row, ten seconds and the wait for an answer each: no load makes a server as silent as that."""
_MOST_CURES = 3  # failed cures of one model in a row, before the whole server is started anew
_STRIP = (48, 320)  # height and width of a recognition canary
_PICTURE = (320, 320)


class Health(Enum):
    """What a model did with a canary: a dead process fails at once, a busy one is silent until time is up."""

    ANSWERS = auto()
    FAILS = auto()
    SILENT = auto()


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
    """Looks after one server and its models.

    Args:
        url, control_secret: the server.
        catalog: read at every look, because models may be written while it runs.
        restart: called when a server does not answer at all, or when unloading and loading a model does not help.
        answer_seconds: how long the server may take to say that it lives, and for each word of its administration.
        canary_seconds: how long a model may take to answer; out of time it counts as silent, which a busy one may be.
        silent_seconds: for how long a model may be silent to everybody before it counts as stuck.
        runs: whether there is a server that was ready; one that is away or still starting is the supervisor's business.
    """

    def __init__(
        self,
        url: str,
        control_secret: str,
        catalog: Callable[[], Catalog],
        say: Say,
        restart: Callable[[], None],
        look_seconds: float = LOOK_SECONDS,
        runs: Callable[[], bool] = lambda: True,
        answer_seconds: float = ANSWER_SECONDS,
        canary_seconds: float = CANARY_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._url = url
        self._secret = control_secret
        self._catalog = catalog
        self._say = say
        self._restart = restart
        self._runs = runs
        self._answer_seconds = answer_seconds
        self._canary_seconds = canary_seconds
        self._silent_seconds = silent_seconds
        self._look_seconds = look_seconds
        self._successes: dict[str, int] = {}
        self._failed_cures: dict[str, int] = {}
        self._silent_since: dict[str, float] = {}
        self._unanswered = 0
        self._said: dict[str, str] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._look_seconds)
            try:
                if self._runs():
                    await asyncio.to_thread(self.look)
                else:
                    self._forget()
            except Exception as error:
                # The server went away just now, which the supervisor sees for itself, or the catalog is being replaced. Whatever
                # else it is: who stops watching heals nothing any more.
                self._say_once("the server", f"could not be looked at: {error}")

    def look(self) -> None:
        """Look once at the server and at every model; blocks for as long as canaries and cures take."""
        with (
            TritonAdmin(self._url, self._secret, self._answer_seconds) as admin,
            TritonInference(self._url, self._canary_seconds) as inference,
        ):
            if not admin.is_live():
                self._miss()
                return
            self._unanswered = 0
            loaded = admin.ready_models()
            for canary in canaries(self._catalog()):
                name = canary.model.name
                try:
                    if (name, canary.model.version) in loaded:
                        self._look_at(canary, admin, inference)
                    else:
                        self._load(name, admin)
                except PortError as error:  # the others are looked at nevertheless
                    self._say_once(name, f"model {name} could not be looked after: {error}")
                else:
                    self._said.pop(name, None)
        self._said.pop("the server", None)

    def _miss(self) -> None:
        """A process that runs and answers nothing: stopped, or stuck. It would be waited for as long as it lives."""
        self._successes.clear()
        self._unanswered += 1
        if self._unanswered >= MOST_UNANSWERED and self._runs():
            self._say("triton", f"runs, but did not answer {self._unanswered} times in a row; starting it anew")
            self._forget()
            self._restart()

    def _forget(self) -> None:
        """What was known of a server that has gone."""
        self._successes.clear()
        self._failed_cures.clear()
        self._silent_since.clear()
        self._unanswered = 0

    def _look_at(self, canary: Canary, admin: TritonAdmin, inference: TritonInference) -> None:
        name = canary.model.name
        before, now = self._successes.get(name), admin.successes(name)
        # At the first look there is nothing to compare with, and readiness was only the server's word.
        if before != now and before is not None:
            self._successes[name] = now
            self._silent_since.pop(name, None)
            return
        health = _health_of(canary, inference, self._canary_seconds)
        if health is Health.SILENT and not self._is_stuck(name):
            return
        self._silent_since.pop(name, None)
        if health is Health.ANSWERS:
            self._failed_cures.pop(name, None)
            self._successes[name] = now + 1  # the canary itself, which Triton may count a moment after its answer
        else:
            self._cure(canary, admin)
            self._successes.pop(name, None)

    def _is_stuck(self, name: str) -> bool:
        """Not only behind a queue, or in the middle of a long run."""
        since = self._silent_since.setdefault(name, time.monotonic())
        return time.monotonic() - since > self._silent_seconds

    def _cure(self, canary: Canary, admin: TritonAdmin) -> None:
        name = canary.model.name
        if self._failed_cures.get(name, 0) >= _MOST_CURES:
            self._say("triton", f"model {name} cannot be cured; starting the server anew")
            self._forget()
            self._restart()
            return
        self._failed_cures[name] = self._failed_cures.get(name, 0) + 1
        self._say("triton", f"model {name} does not answer; loading it again")
        admin.unload(name)
        admin.load(name)
        self._say("triton", f"model {name} is loaded again")

    def _load(self, name: str, admin: TritonAdmin) -> None:
        """Somebody unloaded it, or it did not load at the start. A new server would do no better, and cost the other models."""
        self._successes.pop(name, None)
        admin.load(name)
        self._say("triton", f"model {name} was not loaded, and is now")

    def _say_once(self, about: str, what: str) -> None:
        """Not at every look for as long as it lasts."""
        if self._said.get(about) != what:
            self._said[about] = what
            self._say("triton", what)


def _health_of(canary: Canary, inference: TritonInference, seconds: float) -> Health:
    """What the model does with a request; a failed one is repeated once, after a pause."""
    for pause in (_SECOND_CANARY_SECONDS, 0.0):
        asked = time.monotonic()
        try:
            inference.infer(canary.model, canary.inputs, [canary.output])
        except PortError:
            if time.monotonic() - asked > seconds * 0.9:
                return Health.SILENT
            time.sleep(pause)
        else:
            return Health.ANSWERS
    return Health.FAILS

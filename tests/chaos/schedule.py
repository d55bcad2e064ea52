"""What one episode does and when, decided from a seed before anything runs: pure, and a plain JSON file.

Every fault ends within `LONGEST_FAULT_S`, which is less than any patience of the system, and the next ones leave gaps, so that it
can heal. Times are seconds after the episode's start; where a fault has to wait, all that follows is later.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from tests.chaos.films import FILMS, Work
from tests.support.ways import Way

LONGEST_FAULT_S = 9.0
FAULTS_AN_EPISODE = 100
_JOBS_A_FAULT = 0.6
_MEAN_GAP_S = 0.8
_HASTY = 0.4
"""The share of faults of parts that come while others may still be starting."""
_REST_EVERY, _REST_S = 12, 5.0
"""After so many faults nothing happens for so long."""


class Target(StrEnum):
    """A part of the stack, or all of it."""

    WORKER = "worker"
    API = "api"
    CONTROLLER = "controller"
    POSTGRES = "postgres"
    NATS = "nats"
    S3 = "s3"
    TRITON = "triton"
    STACK = "stack"


class Mode(StrEnum):
    """What happens to it. The second half is for ways."""

    KILL = "kill"
    END = "end"
    """It is asked to end, as by whoever stops one service."""
    FREEZE = "freeze"
    WIPE = "wipe"
    """It is killed, and has lost all it held."""
    MORE = "more"
    """There are `which` more of it for a while."""

    CUT = "cut"
    HANG = "hang"
    SLOW = "slow"
    HALF_OPEN = "half_open"
    MUTE = "mute"


_NETWORK = (Mode.CUT, Mode.HANG, Mode.SLOW, Mode.HALF_OPEN, Mode.MUTE)
_LASTING = {Mode.FREEZE, Mode.MORE, *_NETWORK}


@dataclass(frozen=True, slots=True)
class Submit:
    """A client sends a video, follows the job and reads its results. `number` names it for those that follow."""

    at: float
    number: int
    work: Work
    max_workers: int
    kind: Literal["submit"] = "submit"


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client of submission `number` changes its mind."""

    at: float
    number: int
    kind: Literal["cancel"] = "cancel"


@dataclass(frozen=True, slots=True)
class Abort:
    """A client sends this share of a video and leaves."""

    at: float
    number: int
    film: str
    share: float
    kind: Literal["abort"] = "abort"


@dataclass(frozen=True, slots=True)
class Rubbish:
    """A client sends what is no video, or no form."""

    at: float
    number: int
    sort: str
    kind: Literal["rubbish"] = "rubbish"


@dataclass(frozen=True, slots=True)
class Fault:
    """`which` picks among several of its kind (workers), or says how many (controllers).

    A fault that is not `hasty` comes only once all parts are ready again that earlier ones have struck, however long that takes:
    else a slow machine would have faults that meet nobody.
    """

    at: float
    target: Target | Way
    mode: Mode
    seconds: float = 0.0
    which: int = 0
    hasty: bool = False
    kind: Literal["fault"] = "fault"

    @property
    def name(self) -> str:
        return f"{self.mode} {self.target}"


Action = Annotated[Submit | Cancel | Abort | Rubbish | Fault, Field(discriminator="kind")]
RUBBISH = ("empty", "text", "png", "no_file", "unknown_pipeline", "bad_stride", "two_files", "unclosed")


@dataclass(frozen=True, slots=True)
class Schedule:
    """`actions` in the order of their times."""

    seed: int
    episode: int
    actions: tuple[Action, ...]

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(action for action in self.actions if isinstance(action, Fault))

    @property
    def works(self) -> tuple[Work, ...]:
        """What fault-free results are needed of, in a fixed order."""
        return tuple(sorted({action.work for action in self.actions if isinstance(action, Submit)}))

    def having(self, actions: Sequence[Action]) -> Schedule:
        return replace(self, actions=tuple(actions))


_SCHEDULE = TypeAdapter(Schedule)

_PARTS: tuple[tuple[Target, tuple[Mode, ...], int], ...] = (
    (Target.WORKER, (Mode.KILL, Mode.KILL, Mode.END, Mode.FREEZE), 26),
    (Target.API, (Mode.KILL, Mode.END, Mode.FREEZE), 9),
    (Target.CONTROLLER, (Mode.KILL, Mode.END, Mode.FREEZE, Mode.MORE), 12),
    (Target.POSTGRES, (Mode.KILL, Mode.END, Mode.FREEZE), 6),
    (Target.NATS, (Mode.KILL, Mode.END, Mode.FREEZE, Mode.WIPE), 6),
    (Target.S3, (Mode.KILL, Mode.END, Mode.FREEZE), 6),
    (Target.TRITON, (Mode.KILL, Mode.END, Mode.FREEZE), 4),
    (Target.STACK, (Mode.KILL,), 1),
)
_WAY_WEIGHT = 7
"""Of each way."""


def episodes(seed: int, faults: int) -> Iterator[Schedule]:
    """As many faults in all, in episodes of at most `FAULTS_AN_EPISODE`."""
    for number in range(-(-faults // FAULTS_AN_EPISODE)):
        yield schedule(seed, min(FAULTS_AN_EPISODE, faults - number * FAULTS_AN_EPISODE), number)


def schedule(seed: int, faults: int, episode: int = 0) -> Schedule:
    """The same for the same arguments, always."""
    dice = random.Random(f"vidette chaos {seed} {episode}")
    struck = tuple(_faults(dice, faults))
    end = struck[-1].at if struck else 5.0
    clients = _clients(dice, max(4, round(faults * _JOBS_A_FAULT)), end)
    actions: list[Action] = [*struck, *clients]
    return Schedule(seed, episode, tuple(sorted(actions, key=lambda action: action.at)))


def _faults(dice: random.Random, count: int) -> Iterator[Fault]:
    choices: list[tuple[Target | Way, tuple[Mode, ...], int]] = [
        *_PARTS,
        *((way, _NETWORK, _WAY_WEIGHT) for way in Way),
    ]
    weights = [weight for _, _, weight in choices]
    at = 4.0
    for number in range(count):
        target, modes, _ = dice.choices(choices, weights)[0]
        mode = dice.choice(modes)
        lasts = round(min(LONGEST_FAULT_S, dice.expovariate(1 / 2.5) + 0.3), 2) if mode in _LASTING else 0.0
        which = dice.randint(1, 2) if mode is Mode.MORE else dice.randrange(100)
        yield Fault(round(at, 2), target, mode, lasts, which, dice.random() < _HASTY or isinstance(target, Way))
        at += dice.uniform(0.1, 2 * _MEAN_GAP_S)
        if target is Target.STACK:
            at += 25.0
        elif number % _REST_EVERY == _REST_EVERY - 1:
            at += LONGEST_FAULT_S / 2 + _REST_S


def _clients(dice: random.Random, count: int, end: float) -> Iterator[Action]:
    for number in range(count):
        at = round(dice.uniform(0.0, end), 2)
        lot = dice.random()
        if lot < 0.07:
            yield Abort(at, number, dice.choice(sorted(FILMS)), round(dice.uniform(0.05, 0.95), 2))
        elif lot < 0.17:
            yield Rubbish(at, number, dice.choice(RUBBISH))
        else:
            yield Submit(at, number, _work(dice), dice.randint(1, 4))
            if dice.random() < 0.12:
                yield Cancel(round(at + dice.uniform(0.2, 8.0), 2), number)


def _work(dice: random.Random) -> Work:
    name = dice.choice(sorted(FILMS))
    return dice.choice(FILMS[name].works(name))


def save(what: Schedule, path: Path) -> None:
    path.write_bytes(_SCHEDULE.dump_json(what, indent=1) + b"\n")


def load(path: Path) -> Schedule:
    """Raises `ValidationError` for what is no schedule."""
    return _SCHEDULE.validate_json(path.read_bytes())

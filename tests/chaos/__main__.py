"""`python -m tests.chaos`: many episodes, one again, one made smaller, one judged again. Exit code 1 when anything is wrong."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.chaos.checker import check
from tests.chaos.evidence import load as evidence_of
from tests.chaos.reference import Reference
from tests.chaos.report import Result, in_words, result_of, summary
from tests.chaos.run import run_episode
from tests.chaos.schedule import Action, Schedule, episodes, load, save
from tests.chaos.shrinking import smallest


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=1000, help="how many, in episodes of a hundred")
    parser.add_argument("--seed", type=int, help="what is done and when; any, if it is left out")
    parser.add_argument("--out", type=Path, help="a new folder for everything that is written")
    parser.add_argument("--replay", type=Path, help="a schedule.json to run again")
    parser.add_argument("--shrink", type=Path, help="a schedule.json that goes wrong, to be made smaller")
    parser.add_argument("--judge", type=Path, help="the folder of an episode, to be checked again without running it")
    parser.add_argument("--tries", type=int, default=30, help="how many episodes making it smaller may take")
    told = parser.parse_args(arguments)
    # Either way the stack is stopped, in the background too, where a shell has SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if told.judge is not None:
        return _judge(told.judge)
    out = told.out or Path(tempfile.mkdtemp(prefix="vidette-chaos-"))
    out.mkdir(parents=True, exist_ok=True)
    print(f"everything is written to {out}", flush=True)
    if told.shrink is not None:
        return _shrink(load(told.shrink), out, told.tries)
    if told.replay is not None:
        return _run([load(told.replay)], out)
    seed = random.randrange(10**6) if told.seed is None else told.seed
    return _run(episodes(seed, told.faults), out)


def _run(schedules: Iterable[Schedule], out: Path) -> int:
    results = [episode(schedule, out / f"{schedule.seed}-{schedule.episode}", out) for schedule in schedules]
    _say(out, summary(results))
    return int(any(result.violations for result in results))


def episode(schedule: Schedule, folder: Path, out: Path) -> Result:
    """Run it, judge it, say what came of it."""
    evidence = run_episode(schedule, folder, Reference(out / "fault-free.json"))
    result = result_of(schedule, folder, evidence, check(evidence))
    _say(out, in_words(result))
    return result


def _judge(folder: Path) -> int:
    evidence, schedule = evidence_of(folder / "evidence.json", folder / "history.jsonl"), load(folder / "schedule.json")
    result = result_of(schedule, folder, evidence, check(evidence))
    print(in_words(result), end="")
    return int(bool(result.violations))


def _shrink(schedule: Schedule, out: Path, tries: int) -> int:
    """Writes the smallest schedule found that breaks a rule which the whole one breaks."""
    broken = {violation.rule for violation in episode(schedule, out / "whole", out).violations}
    if not broken:
        _say(out, "The whole schedule went well this time: nothing to shrink.\n")
        return 0
    runs = iter(range(1, tries + 1))

    def fails(actions: Sequence[Action]) -> bool:
        result = episode(schedule.having(actions), out / f"try-{next(runs)}", out)
        return any(violation.rule in broken for violation in result.violations)

    found = schedule.having(smallest(schedule.actions, fails, tries))
    save(found, out / "smallest.json")
    _say(out, f"{len(found.actions)} of {len(schedule.actions)} actions are left: {out / 'smallest.json'}\n")
    return 1


def _say(out: Path, words: str) -> None:
    print(words, end="", flush=True)
    with (out / "report.txt").open("a") as report:
        report.write(words)


if __name__ == "__main__":
    sys.exit(main())

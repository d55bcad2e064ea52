"""One child of the supervisor: how it ends, and that it never outlives whoever started it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.processes import eventually, is_alive, wait_until
from vidette_local import logs, procfs
from vidette_local.child import Child, Command

_SLEEP = "import time; time.sleep(60)"
_SAYS_WHO_IT_IS = """
import os, sys, time
from pathlib import Path
Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(60)
"""
# A program whose own child knows nothing of anybody's death, as Triton's model processes.
_WITH_GRANDCHILD = f"""
import subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", {_SLEEP!r}])
Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(60)
"""
_STARTER = """
import sys, time
from pathlib import Path
from vidette_local.child import Child, Command
folder, guarded, *argv = sys.argv[1:]
child = Child.start(Command(tuple(argv), Path(folder), {}, guarded=guarded == "guarded"), Path(folder) / "log")
(Path(folder) / "child").write_text(str(child.pid))
time.sleep(60)
"""


def command(folder: Path, program: str, *arguments: str) -> Command:
    return Command((sys.executable, "-c", program, *arguments), folder, {"PATH": os.environ["PATH"]})


def read_pid(file: Path) -> int:
    wait_until(lambda: file.exists() and file.read_text() != "", 20, f"{file.name} is written")
    return int(file.read_text())


@pytest.mark.parametrize(("program", "code"), [("pass", 0), ("raise SystemExit(42)", 42)])
async def test_an_exit_code_is_reported_as_it_is(tmp_path: Path, program: str, code: int) -> None:
    assert await Child.start(command(tmp_path, program), tmp_path / "log").wait() == code


async def test_a_death_by_signal_is_128_and_the_signal(tmp_path: Path) -> None:
    child = Child.start(command(tmp_path, _SLEEP), tmp_path / "log")
    child.kill()
    assert await child.wait() == 128 + signal.SIGKILL


async def test_a_program_that_is_not_there_ends_with_127_and_says_so(tmp_path: Path) -> None:
    child = Child.start(Command(("/no/such/program",), tmp_path, {}), tmp_path / "log")
    assert await child.wait() == 127
    assert logs.tail(tmp_path / "log") == ["cannot start /no/such/program: No such file or directory"]


async def test_waiting_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    child = Child.start(command(tmp_path, _SLEEP), tmp_path / "log")
    waiting = asyncio.create_task(child.wait())
    began = time.monotonic()
    await asyncio.sleep(0.05)
    assert time.monotonic() - began < 5
    assert not waiting.done()
    assert await child.stop(10) == 128 + signal.SIGTERM
    assert await waiting == 128 + signal.SIGTERM


async def test_a_program_that_ignores_sigterm_is_killed_after_its_grace_period(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    stubborn = (
        "import signal, sys, time, pathlib; signal.signal(15, signal.SIG_IGN); pathlib.Path(sys.argv[1]).touch(); "
    )
    child = Child.start(command(tmp_path, stubborn + "time.sleep(60)", str(ready)), tmp_path / "log")
    await eventually(ready.exists, 20, "the program ignores SIGTERM")
    assert await child.stop(0.2) == 128 + signal.SIGKILL


async def test_what_a_program_leaves_in_its_group_ends_with_it(tmp_path: Path) -> None:
    written = tmp_path / "grandchild"
    child = Child.start(command(tmp_path, _WITH_GRANDCHILD, str(written)), tmp_path / "log")
    await eventually(lambda: written.exists() and written.read_text() != "", 20, "the grandchild runs")
    child.signal(signal.SIGTERM)
    await child.wait()
    await eventually(lambda: not is_alive(int(written.read_text())), 5, "the grandchild is gone")


def test_a_child_dies_with_whoever_started_it(tmp_path: Path) -> None:
    written = tmp_path / "itself"
    program = [sys.executable, "-c", _SAYS_WHO_IT_IS, str(written)]
    with subprocess.Popen([sys.executable, "-c", _STARTER, str(tmp_path), "alone", *program]) as starter:
        child = read_pid(written)
        assert child == read_pid(tmp_path / "child")
        starter.kill()
        starter.wait()
        wait_until(lambda: not is_alive(child), 5, "the child is gone")


def test_a_guarded_childs_own_children_die_with_whoever_started_it(tmp_path: Path) -> None:
    written = tmp_path / "grandchild"
    program = [sys.executable, "-c", _WITH_GRANDCHILD, str(written)]
    with subprocess.Popen([sys.executable, "-c", _STARTER, str(tmp_path), "guarded", *program]) as starter:
        child, grandchild = read_pid(tmp_path / "child"), read_pid(written)
        group = [pid for pid in procfs.pids() if procfs.group(pid) == child]
        assert {child, grandchild} < set(group), "the guard is the third"
        starter.kill()
        starter.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in group), 5, "all of the group are gone")


def test_a_log_that_grows_is_set_aside_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    with log.open("ab") as writer:
        for round_ in range(4):
            writer.write(b"%d" % round_ * 100)
            writer.flush()
            assert logs.rotate_if_large(log, largest_bytes=50)
        writer.write(b"end")
    assert log.read_bytes() == b"end"
    assert (tmp_path / "part.log.1").read_bytes() == b"3" * 100
    assert (tmp_path / "part.log.2").read_bytes() == b"2" * 100
    assert len(list(tmp_path.iterdir())) == 3


def test_only_the_newest_worker_logs_are_kept(tmp_path: Path) -> None:
    for number in range(6):
        file = tmp_path / f"worker-{number}.log"
        file.touch()
        os.utime(file, (number, number))
    (tmp_path / "api.log").touch()
    logs.prune_workers(tmp_path, newest=2)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["api.log", "worker-4.log", "worker-5.log"]

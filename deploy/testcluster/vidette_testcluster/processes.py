"""Starts, recognises and ends the cluster's programs.

A number alone names no process: it may be given to another as soon as the first has ended. So a process is remembered together
with the moment it began, and nothing is ever signalled without comparing that moment.
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vidette_testcluster.errors import ClusterError
from vidette_testcluster.state import Part, Process

POLL = 0.1
SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"  # where a plain user's PATH may not lead
TAIL_LINES = 25


def identify(pid: int) -> Process | None:
    """The process with this number, or None if there is none or only its corpse."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may itself hold some: proc(5) counts fields behind the last one.
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]))


def is_alive(process: Process | None) -> bool:
    return process is not None and identify(process.pid) == process


def surroundings(extra: Sequence[tuple[str, str]] = (), *, proxies: bool = False) -> dict[str, str]:
    """The environment of every program we start. A proxy of the machine's knows nothing of our network, only of the internet."""
    kept = {name: value for name, value in os.environ.items() if proxies or not name.lower().endswith("_proxy")}
    return {**kept, "PATH": f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}", **dict(extra)}


def spawn(
    command: Sequence[str], log: Path, join: Sequence[Path] = (), environment: Sequence[tuple[str, str]] = ()
) -> Process:
    """Start a program that outlives us, in the cgroups whose `cgroup.procs` files are in `join`.

    It joins before it becomes the program, so that nothing it starts can ever be outside of them.
    """
    joining = "".join(f"echo $$ >{shlex.quote(str(file))} && " for file in join)
    pid = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", f'{joining}exec "$@"', "sh", *command],
        surroundings(environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    process = identify(pid)
    if process is None:
        raise ClusterError(f"{command[0]} ended at once.\n{tail(log)}")
    return process


def send(process: Process, number: signal.Signals) -> None:
    if is_alive(process):
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return


def end(process: Process | None, number: signal.Signals = signal.SIGTERM, patience: float = 10.0) -> None:
    """Ask it to end, and make it end once patience is over. Raises ClusterError if even that does not help."""
    if process is None:
        return
    for chosen, limit in ((number, patience), (signal.SIGKILL, 20.0)):
        send(process, chosen)
        deadline = time.monotonic() + limit
        while is_alive(process):
            _reap(process.pid)
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            return
    raise ClusterError(f"process {process.pid} survives SIGKILL: it hangs inside the kernel")


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # started by an earlier command: it is init's to reap


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The end of a log, headed by its path."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return f"--- {log} was never written"
    last = "\n".join(line[:500] for line in text.splitlines()[-lines:])
    return f"--- the end of {log}:\n{last}"


def wait_until(
    what: str, ready: Callable[[], bool], limit: float, parts: Sequence[Part], log: Callable[[str], Path]
) -> None:
    """Wait until `ready` says so. Raises ClusterError with the logs of the parts when one of them ends or time is up."""
    deadline = time.monotonic() + limit
    while not ready():
        ended = [part for part in parts if not is_alive(part.process)]
        if ended:
            raise ClusterError(f"{ended[0].name} ended before {what}.\n{tail(log(ended[0].name))}")
        if time.monotonic() > deadline:
            logs = "\n".join(tail(log(part.name)) for part in parts)
            raise ClusterError(f"after {limit:.0f} s still not: {what}.\n{logs}")
        time.sleep(POLL)


def run(command: Sequence[str], what: str, limit: float = 60.0, *, proxies: bool = False) -> str:
    """Run a tool to its end and return what it printed. Raises ClusterError with its own words when it fails.

    `proxies`: it downloads something, and may need the machine's proxy for it.
    """
    environment = surroundings(proxies=proxies)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL, env=environment
        )
    except FileNotFoundError:
        raise ClusterError(f"{what}: there is no program {command[0]} on this machine") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{what}: {shlex.join(command)} took longer than {limit:.0f} s") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()) or "it said nothing"
        raise ClusterError(f"{what}: {shlex.join(command)} failed with {done.returncode}: {said}")
    return done.stdout

"""Takes a cluster away, however much of it there is and whatever was killed before.

Nothing here trusts the record: processes are found by their cgroup, network and cgroup by names that follow from the folder.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

from vidette_testcluster import build, cgroups, network
from vidette_testcluster.errors import ClusterError
from vidette_testcluster.processes import end, identify, is_alive, send, spawn
from vidette_testcluster.state import LOCK_LIMIT, Folder, Process, Record

GUARD_POLL = 0.5
GUARD_LOCK_LIMIT = 900.0  # an `up` that nobody waits for any more may still be at work


def must_be_root() -> None:
    if os.geteuid() != 0:
        raise ClusterError("a cluster needs root, for its network namespace and its cgroups: run this as root")


def down(folder: Folder, lock_limit: float = LOCK_LIMIT) -> None:
    """Remove everything, however much of it there is. Says nothing when there is nothing."""
    if not (folder.path.exists() or cgroups.exists(folder.name) or network.exists(folder.name, folder.link)):
        return
    must_be_root()
    with folder.lock(lock_limit):
        record = folder.load()
        clear(folder, record)
        folder.path.rmdir()
    if record and record.guard and record.guard.pid != os.getpid():
        end(record.guard)


def clear(folder: Folder, record: Record | None) -> None:
    """Take away all but the folder itself, in an order in which nothing can come back."""
    _must_be_ours(folder)
    for part in record.parts.values() if record else ():
        if part.process:
            send(part.process, signal.SIGKILL)
    cgroups.end_all(folder.name)  # pods, and whatever is in no record; with the last of them the mounts go
    network.remove(folder.name, folder.link)
    cgroups.remove(folder.name)
    _nothing_is_mounted_in(folder.path)
    for item in (item for item in folder.path.iterdir() if item != folder.mark):
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()
    folder.mark.unlink(missing_ok=True)  # last: what is left by an interruption can still be told to be ours


def _must_be_ours(folder: Folder) -> None:
    if not folder.mark.exists() and any(folder.path.iterdir()):
        raise ClusterError(f"{folder.path} holds files that are not of a cluster: name an empty folder, or a new one")


def _nothing_is_mounted_in(path: Path) -> None:
    """Removing a folder with a mount in it would remove what is mounted there."""
    inside = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    if mounts := [where for where in inside if Path(where).is_relative_to(path)]:
        raise ClusterError(f"something is mounted at {', '.join(mounts)}: unmount it, then take the cluster down again")


def guard(folder: Folder, watched: Process) -> None:
    """Take the cluster down when a process has ended, however it ended. Returns when the cluster is gone."""
    while is_alive(watched):
        if not folder.path.exists():
            return
        time.sleep(GUARD_POLL)
    down(folder, lock_limit=GUARD_LOCK_LIMIT)


def start_guard(folder: Folder, pid: int) -> Process:
    watched = identify(pid)
    if watched is None:
        raise ClusterError(f"there is no process {pid} whose end could be waited for")
    names = ["--pid", str(watched.pid), "--started", str(watched.started)]
    command = [sys.executable, "-m", "vidette_testcluster", "--state", str(folder.path), "guard", *names]
    path = ("PYTHONPATH", str(build.SOURCES))
    return spawn(command, folder.log("guard"), environment=(path,))

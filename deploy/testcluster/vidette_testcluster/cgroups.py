"""The cluster's own cgroup: nothing of the cluster is outside of it, so nothing of the cluster can be lost.

Programs of the cluster run in `<name>/parts`, pods in `<name>/kubepods` (kubelet makes that one). Whatever was killed,
orphaned or forked away is still a member, and `end_all` finds it there.

With version 1 there is one tree per controller, each with our folder in it; with version 2 there is one.
"""

import os
import signal
import time
from pathlib import Path

from vidette_testcluster.errors import ClusterError

PARTS = "parts"


def trees() -> list[Path]:
    """Where cgroup file systems are mounted. On a machine with version 1 and 2, all of them."""
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2") and Path(where) not in found:
            found.append(Path(where))
    if not found:
        raise ClusterError("no cgroup file system is mounted: mount one on /sys/fs/cgroup, as every distribution does")
    return found


def create(name: str) -> None:
    for tree in trees():
        if (tree / "cgroup.controllers").exists():
            _pass_controllers_down(tree)
        for folder in (tree / name, tree / name / PARTS):
            folder.mkdir(exist_ok=True)
            if (folder / "cpuset.mems").exists() and not (folder / "cgroup.controllers").exists():
                _copy_cpuset(folder)
        if (tree / "cgroup.controllers").exists():
            _pass_controllers_down(tree / name)


def _copy_cpuset(folder: Path) -> None:
    """In version 1 a new cpuset is empty and takes no process in."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        (folder / file).write_text((folder.parent / file).read_text())


def _pass_controllers_down(folder: Path) -> None:
    """In version 2 a child has only the controllers that its parent passes on."""
    controllers = (folder / "cgroup.controllers").read_text().split()
    if controllers:  # none are left for version 2 where version 1 has them all
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in controllers))


def joining_files(name: str) -> list[Path]:
    return [tree / name / PARTS / "cgroup.procs" for tree in trees()]


def exists(name: str) -> bool:
    return any((tree / name).exists() for tree in trees())


def _folders(name: str) -> list[Path]:
    """Ours and all below, deepest first."""
    found = []
    for tree in trees():
        if (tree / name).is_dir():
            found += [Path(folder) for folder, _, _ in os.walk(tree / name, topdown=False)]
    return found


def members(name: str) -> set[int]:
    """The numbers of all living processes of the cluster, those of pods included."""
    pids: set[int] = set()
    for folder in _folders(name):
        try:
            pids.update(map(int, (folder / "cgroup.procs").read_text().split()))
        except (FileNotFoundError, OSError):
            continue  # a pod's cgroup may go while we look
    return pids - {0}  # 0 is a process of another process namespace


def memory(name: str) -> int | None:
    """Bytes that the cluster and its pods use by the kernel's account, page cache included."""
    for tree in trees():
        for file in ("memory.usage_in_bytes", "memory.current"):
            if (tree / name / file).exists():
                return int((tree / name / file).read_text())
    return None


def end_all(name: str, limit: float = 30.0) -> None:
    """Kill every member, and those that members start meanwhile, until there is none."""
    deadline = time.monotonic() + limit
    while pids := members(name) - {os.getpid()}:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise ClusterError(f"processes {sorted(pids)} of the cluster survive SIGKILL: they hang inside the kernel")
        time.sleep(0.05)


def remove(name: str, limit: float = 10.0) -> None:
    """The kernel lets go of a cgroup a moment after its last process, so this may take several goes."""
    deadline = time.monotonic() + limit
    while folders := _folders(name):
        for folder in folders:
            try:
                folder.rmdir()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ClusterError(f"cannot remove the cgroup {folder}: {error.strerror}") from error
        time.sleep(0.05)

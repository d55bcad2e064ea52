"""A file system of a few megabytes that a test may fill, as root and as an ordinary user.

Root mounts one; so does who may use `sudo` without a password, as the user of most CI machines may. Anybody else gets one in a
mount namespace of its own: programs enter it, and the test looks into it through `/proc/<pid>/root` of the process that holds it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 20
_LIFE_SECONDS = 900
_PIECE = bytes(256 * 1024)


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """`path` is where programs find it that are started behind `enter`, `seen` where the test does."""

    path: Path
    seen: Path
    enter: tuple[str, ...] = ()


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """An empty file system; `folder` is where it is mounted. Raises `RuntimeError` where no way is open."""
    with small_disks({folder: mebibytes}) as (disk,):
        yield disk


@contextmanager
def small_disks(folders: Mapping[Path, int]) -> Iterator[list[SmallDisk]]:
    """The same for several, in their order: what is started behind `enter` of one finds all of them."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        for sudo in ([], ["sudo", "-n"]):
            if _mounted(sudo, folders, held):
                yield [SmallDisk(folder, folder) for folder in folders]
                return
        yield held.enter_context(_in_a_namespace(folders))


def fill(folder: Path) -> Path:
    """Take all that is left of the file system; returns the file to remove."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(_PIECE)
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    assert shutil.disk_usage(folder).free < len(_PIECE), "the disk is not full"
    return filler


def _mounted(sudo: list[str], folders: Mapping[Path, int], held: ExitStack) -> bool:
    """Whether all could be; `held` ends them."""
    for folder, mebibytes in folders.items():
        options = f"size={mebibytes}m,uid={os.getuid()},gid={os.getgid()},mode=0711"
        if not _run([*sudo, "mount", "-t", "tmpfs", "-o", options, "vidette-test", str(folder)]):
            return False
        held.callback(_run, [*sudo, "umount", "--lazy", str(folder)])
    return True


def _run(argv: list[str]) -> bool:
    if shutil.which(argv[0]) is None:
        return False
    return subprocess.run(argv, capture_output=True, timeout=_SECONDS, check=False).returncode == 0


@contextmanager
def _in_a_namespace(folders: Mapping[Path, int]) -> Iterator[list[SmallDisk]]:
    mount = 'mount -t tmpfs -o "size=$1m,mode=0711" vidette-test "$2"'
    script = f"while [ $# -gt 0 ]; do {mount} || exit 1; shift 2; done; echo mounted; exec sleep {_LIFE_SECONDS}"
    pairs = [word for folder, mebibytes in folders.items() for word in (str(mebibytes), str(folder))]
    argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *pairs]
    holder = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "mounted\n":
            raise RuntimeError(
                f"no small file system can be made here ({holder.stderr.read().strip()}). Run the tests as root, allow sudo"
                " without a password, or allow user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0)."
            )
        enter = ("nsenter", "--target", str(holder.pid), "--user", "--mount", "--preserve-credentials")
        yield [SmallDisk(folder, Path(f"/proc/{holder.pid}/root{folder}"), enter) for folder in folders]
    finally:
        holder.kill()
        holder.communicate()

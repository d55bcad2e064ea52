"""What is known about a cluster between two commands, and where its files lie.

The names of everything outside the folder (network namespace, link, cgroup) follow from the folder's path alone, so that
`down` finds them even when the record was lost.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vidette_testcluster.errors import ClusterError

# containerd adds ".ttrpc" to its socket's path, and a unix socket's path ends at 107 bytes.
LONGEST_FOLDER = 70
LOCK_LIMIT = 300.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number. `started`: clock ticks after boot."""

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Part:
    """One program of the cluster: how it is started (and started again), and as which process it last ran."""

    name: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    on_node: bool = False  # in the node's mount namespace, where containerd's mounts are
    process: Process | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A cluster as it was started. `slot`: which /22 of the test network it has."""

    slot: int
    programs: str
    control_plane_only: bool
    parts: dict[str, Part] = field(default_factory=dict)
    guard: Process | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """The state folder of one cluster: its layout, its record, its lock, and the names that follow from its path."""

    path: Path

    @property
    def name(self) -> str:
        """Of the network namespace and of the cgroup."""
        return f"vidette-tc-{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:8]}"

    @property
    def link(self) -> str:
        """Of the host's end of the link; the kernel allows 15 characters."""
        return f"vtc{self.name[-8:]}"

    @property
    def pki(self) -> Path:
        return self.path / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.path / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def log(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    @property
    def mark(self) -> Path:
        """A file that says that this folder is ours to empty."""
        return self.path / ".vidette-testcluster"

    def load(self) -> Record | None:
        """None too if another version of this program wrote it: such a cluster can be taken down, and no more."""
        try:
            raw = json.loads((self.path / "cluster.json").read_text())
            parts = {name: _part(value) for name, value in raw.pop("parts").items()}
            guard = raw.pop("guard")
            return Record(**raw, parts=parts, guard=Process(**guard) if guard else None)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def save(self, record: Record) -> None:
        """Whole or not at all: a `down` that comes after a kill must not read half a record."""
        unfinished = self.path / "cluster.json.new"
        unfinished.write_text(json.dumps(asdict(record), indent=1))
        unfinished.replace(self.path / "cluster.json")

    @contextmanager
    def lock(self, limit: float = LOCK_LIMIT) -> Iterator[None]:
        """Only one command at a time changes a cluster. The folder itself is the lock, so that none is left behind."""
        if len(os.fsencode(self.path)) > LONGEST_FOLDER:
            raise ClusterError(
                f"{self.path} is too long for the unix sockets inside it: name a folder of at most {LONGEST_FOLDER} "
                "characters with --state or VIDETTE_TESTCLUSTER_STATE"
            )
        deadline = time.monotonic() + limit
        while True:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o755)
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                take_lock(handle, f"the cluster of {self.path}", deadline)
                if _is_still(handle, self.path):
                    yield
                    return
            finally:
                os.close(handle)


def _part(raw: dict[str, Any]) -> Part:
    process = raw["process"]
    return Part(
        name=raw["name"],
        command=tuple(raw["command"]),
        environment=tuple((key, value) for key, value in raw["environment"]),
        on_node=raw["on_node"],
        process=Process(**process) if process else None,
    )


def _is_still(handle: int, path: Path) -> bool:
    """Whether the folder we locked is the one that has the name now; the one before us may have removed it."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def take_lock(handle: int, what: str, deadline: float) -> None:
    """Raises ClusterError when somebody else holds the lock past the deadline (of time.monotonic)."""
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ClusterError(f"another command has been busy with {what} for too long: end it, or wait") from None
            time.sleep(0.2)

"""The state folder: what lies where, who holds it, and which version made it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STATE_VERSION = 1
_LONGEST_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux; some room for a suffix


class HomeInUse(Exception):
    """Another supervisor holds the state folder."""

    def __init__(self, home: Path, pid: int | None) -> None:
        self.pid = pid
        who = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"{home} is in use: {who} runs this stack already. Stop it with `make down`, or set VIDETTE_HOME."
        )


class HomeUnusable(Exception):
    """The state folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Home:
    """Paths inside the state folder. `path` is absolute."""

    path: Path

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def nats(self) -> Path:
        return self.path / "nats"

    @property
    def s3(self) -> Path:
        return self.path / "s3"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def processes(self) -> Path:
        return self.path / "processes.json"

    @property
    def secrets(self) -> Path:
        return self.path / "secrets.json"

    @property
    def stack_id(self) -> str:
        """Names this state folder in the environment of every process of the stack (`VIDETTE_STACK`)."""
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]

    @property
    def socket(self) -> Path:
        """The supervisor's unix socket: in the folder, or under the temporary folder when that path would be too long."""
        inside = self.path / "run" / "supervisor.sock"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
            return inside
        return Path(tempfile.gettempdir()) / f"vidette-{os.geteuid()}-{self.stack_id}" / "supervisor.sock"

    def make(self) -> None:
        """Create what is missing. Raises `HomeUnusable` when the folder cannot be written or comes from another version."""
        try:
            # 0711: where PostgreSQL runs under another account, that account must be able to pass through.
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
            for folder in (self.logs, self.models):
                folder.mkdir(mode=0o700, exist_ok=True)
            self._make_private(self.socket.parent)
            stamp = self.path / "version"
            if not stamp.exists():
                write_private(stamp, f"{STATE_VERSION}\n")
            found = stamp.read_text().strip()
        except OSError as error:
            message = (
                f"{self.path} cannot be used as state folder ({error.strerror}). Set VIDETTE_HOME to a folder of yours."
            )
            raise HomeUnusable(message) from error
        if found != str(STATE_VERSION):
            raise HomeUnusable(
                f"{self.path} was made by another version of the stack (state {found or 'unknown'}, this is {STATE_VERSION}). "
                "Move the folder away, or set VIDETTE_HOME to another one."
            )

    def _make_private(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        details = folder.stat(follow_symlinks=False)
        if details.st_uid != os.geteuid() or details.st_mode & 0o077:
            raise HomeUnusable(f"{folder} is not private to this user. Remove it and start again.")

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the folder for the life of the block. Raises `HomeInUse`. The kernel lets go when the holder dies."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HomeInUse(self.path, self._written_pid()) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def holder(self) -> int | None:
        """The pid of the supervisor that holds the folder now; None when nobody does."""
        try:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._written_pid()
        else:
            return None
        finally:
            os.close(descriptor)

    def _written_pid(self) -> int | None:
        try:
            return int(self.lock.read_text())
        except (OSError, ValueError):
            return None


def write_private(path: Path, text: str) -> None:
    """Replace a file of mode 0600 whole or not at all, so that a crash never leaves half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)

"""The parts' own output: one file each, bounded in size, and bounded in number where names keep coming (workers)."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import suppress
from pathlib import Path

LARGEST_BYTES = 8 * 1024 * 1024
GENERATIONS = 2
NEWEST_WORKER_LOGS = 40
CHECK_SECONDS = 5.0
_TAIL_BYTES = 4096


def rotate_if_large(path: Path, largest_bytes: int = LARGEST_BYTES) -> bool:
    """Copy the file aside and empty it. The writer holds it in append mode and goes on at the new end.

    Lines written between the copy and the cut are lost: the price for the writers needing no pipe through the supervisor.
    """
    if not path.exists() or path.stat().st_size <= largest_bytes:
        return False
    for generation in range(GENERATIONS, 1, -1):
        older = path.with_name(f"{path.name}.{generation - 1}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{generation}"))
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    return True


def prune_workers(folder: Path, newest: int = NEWEST_WORKER_LOGS) -> None:
    """Keep the newest worker logs. A log that a worker still writes is among the newest."""
    files = sorted(folder.glob("worker-*.log*"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[newest:]:
        file.unlink(missing_ok=True)


async def keep_bounded(folder: Path) -> None:
    """Look after all logs in `folder` until cancelled."""
    while True:
        with suppress(OSError):  # a full disk, or a log that went away meanwhile: the next look may do better
            for file in folder.glob("*.log"):
                rotate_if_large(file)
            prune_workers(folder)
        await asyncio.sleep(CHECK_SECONDS)


def tail(path: Path, lines: int = 5) -> list[str]:
    """The last lines of a log, for an error message; none when there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]

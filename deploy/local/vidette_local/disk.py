"""Says in time that the disk of the state folder is full: cause and remedy, instead of a dozen errors of a dozen parts."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

from vidette_local.say import Say

ENOUGH_BYTES = 256 * 2**20
"""What PostgreSQL's log, the models and a chunk or two take. Below it, whatever comes next may be what does not fit."""
LOOK_SECONDS = 5.0
_MIB = 2**20


class DiskWatch:
    """Looks after the file system of `folder`, and says once that it is full, and once that it is not any more."""

    def __init__(self, folder: Path, say: Say, enough_bytes: int = ENOUGH_BYTES) -> None:
        self._folder = folder
        self._say = say
        self._enough = enough_bytes
        self._short = False

    def look(self) -> None:
        """Compare what is free with what is needed. Raises `OSError` when the folder is gone."""
        free = shutil.disk_usage(self._folder).free
        if free < self._enough and not self._short:
            self._short = True
            self._say("disk", short_of_room(self._folder, free, self._enough))
        elif free >= self._enough and self._short:
            self._short = False
            self._say("disk", f"there is room again: {free // _MIB} MiB are free. What waited goes on by itself")

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with suppress(OSError):  # whoever needs the folder says that it is gone
                self.look()
            await asyncio.sleep(LOOK_SECONDS)


def short_of_room(folder: Path, free: int, enough: int) -> str:
    """The message: where, how much is free, what it means, and what to do."""
    return (
        f"the disk of {folder} is almost full: {free // _MIB} MiB are free, {enough // _MIB} MiB should be. Once it is full,"
        " uploads are refused and jobs wait. Remove files there, or set VIDETTE_HOME to a larger disk"
    )

"""A disk that fills up is named once, with cause and remedy, and once more when there is room again."""

from __future__ import annotations

import shutil
from pathlib import Path

from vidette_local.disk import DiskWatch


def test_a_disk_that_is_almost_full_is_named_once_and_room_again_once(tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []
    free = shutil.disk_usage(tmp_path).free
    short = DiskWatch(tmp_path, lambda who, what: said.append((who, what)), enough_bytes=free * 2)
    short.look()
    short.look()
    ((who, what),) = said
    assert who == "disk"
    assert str(tmp_path) in what
    assert f"{2 * free // 2**20} MiB should be" in what
    assert "Remove files there, or set VIDETTE_HOME" in what

    said.clear()
    short._enough = 0
    short.look()
    short.look()
    ((_, what),) = said
    assert what.startswith("there is room again")


def test_a_disk_with_room_is_not_talked_of(tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []
    DiskWatch(tmp_path, lambda who, what: said.append((who, what)), enough_bytes=1).look()
    assert said == []

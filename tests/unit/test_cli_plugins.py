"""Commands of other packages: found by entry point, and harmless when they are broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENTRY_POINTS = """[vidette.commands]
broken = vidette_broken_plugin:app
good = vidette_good_plugin:app
odd = vidette_good_plugin:number
"""
GOOD = """
import typer
number = 7
app = typer.Typer()
@app.command()
def greet() -> None:
    "Say hello."
    print("hello from a plugin")
@app.command()
def stop() -> None:
    raise typer.Exit(3)
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A directory that looks like an installed distribution with a good, a broken and an odd plugin."""
    record = tmp_path / "vidette_test_plugins-1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: vidette-test-plugins\nVersion: 1\n")
    (record / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "vidette_good_plugin.py").write_text(GOOD)
    (tmp_path / "vidette_broken_plugin.py").write_text("import a_module_that_is_not_there\n")
    return tmp_path


def vidette(plugins: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(plugins), "NO_COLOR": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "vidette.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_plugins_commands_stand_beside_the_own_ones(plugins: Path) -> None:
    listed = vidette(plugins, "--help").stdout
    assert [name in listed for name in ("submit", "results", "greet")] == [True] * 3
    assert vidette(plugins, "greet").stdout == "hello from a plugin\n"
    assert vidette(plugins, "stop").returncode == 3


def test_a_plugin_that_cannot_be_imported_is_named_and_takes_nothing_with_it(plugins: Path) -> None:
    done = vidette(plugins, "greet")
    assert done.returncode == 0
    assert "vidette_broken_plugin:app are left out: ModuleNotFoundError" in done.stderr
    assert "vidette_good_plugin:number are left out: it is no Typer app" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_own_commands_do_not_wait_for_plugins(plugins: Path) -> None:
    done = vidette(plugins, "status", "not-an-id")
    assert done.stderr == "error Job not found.\n"

"""Every test that docs/failure-modes.md names exists, every fault has one, and every test of faults stands in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "failure-modes.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
COLUMNS = 4
NO_FAULT_OF_A_PART = {
    "test_triton_dies.py",  # what a fault of Triton looks like to its client, below the system's reaction to it
    "test_worker_exit_codes.py",
    "test_a_zombie_is_refused.py",
}
"""Files of which the page names only some tests."""


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| fault |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_fault_says_what_is_seen_and_done_and_names_a_test_that_exists(row: list[str]) -> None:
    assert len(row) == COLUMNS
    assert all(row)
    (named,) = NAMED.findall(row[-1])
    file, name = named
    assert name in names_in(ROOT / file)


def test_every_test_of_faults_stands_on_the_page() -> None:
    named = {name for _, name in NAMED.findall(PAGE)}
    files = [path for path in (ROOT / "tests" / "faults").glob("test_*.py") if path.name not in NO_FAULT_OF_A_PART]
    assert len(files) > 5
    assert {path.name: names_in(path) - named for path in files if names_in(path) - named} == {}

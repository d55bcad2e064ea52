"""The chart's README, whose table of values is made from the comments of values.yaml: run it to write the page anew.

.venv/bin/python -m tests.support.values_page
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.cluster import REPOSITORY

CHART = REPOSITORY / "charts" / "vidette"
PAGE = CHART / "README.md"
BEGIN, END = "<!-- values: made from values.yaml -->", "<!-- end of values -->"


@dataclass(frozen=True, slots=True)
class Value:
    """One leaf of values.yaml, by its path with dots, its default as JSON, and the comment above it."""

    path: str
    default: str
    meaning: str


def values(text: str) -> Iterator[Value]:
    """Every leaf, in the file's order. A map that is empty, or that users replace as a whole, is a leaf too."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    yield from _leaves(node, "", text.splitlines(), yaml.safe_load(text))


def _leaves(node: yaml.MappingNode, prefix: str, lines: list[str], data: dict[str, object]) -> Iterator[Value]:
    for key, value in node.value:
        path, found = f"{prefix}{key.value}", data[key.value]
        comment = _comment_above(lines, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and value.value and isinstance(found, dict) and not _is_whole(path):
            yield from _leaves(value, f"{path}.", lines, found)
        else:
            yield Value(path, json.dumps(found, ensure_ascii=False), comment)


def _is_whole(path: str) -> bool:
    return path.rpartition(".")[2] in {"resources", "labels", "podSecurityContext"}


def _comment_above(lines: list[str], number: int) -> str:
    above: list[str] = []
    while number > 0 and lines[number - 1].strip().startswith("#"):
        number -= 1
        above.insert(0, lines[number].strip().lstrip("# "))
    return " ".join(above)


def table(text: str) -> str:
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for value in values(text):
        cells = (f"`{value.path}`", f"`{value.default}`", value.meaning)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def page(present: str, text: str) -> str:
    """The page with the table between its two marks made anew."""
    before, _, rest = present.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(text)}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(), Path(CHART, "values.yaml").read_text()))

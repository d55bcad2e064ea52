"""Reading a file of pipelines: TOML, a table for each, and every mistake in it told at once.

[pipelines.bottles]
detector = "yolox_nano"
labels = ["bottle"]
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vidette_core.domain.pipelines import NAME_PATTERN, Catalog, Declaration
from vidette_models.catalogs import compile_catalog, problems_of
from vidette_models.refusal import Refused, choice, quoted
from vidette_models.repository import Repository

EXPECTED: Final = {
    "description": "a text",
    "detector": "the name of a model, or false",
    "text": "true or false",
    "score_threshold": "a number from 0 to 1",
    "text_threshold": "a number from 0 to 1",
    "labels": "a list of one label or more",
}
"""Every key of a pipeline, and what it may be."""
_NAME: Final = re.compile(NAME_PATTERN)


@dataclass(frozen=True, slots=True)
class Applied:
    """What an application changed: the pipelines' names."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]


def apply_file(repository: Repository, path: Path, *, only_check: bool = False) -> Applied:
    """Have exactly the file's pipelines in the repository's catalog, beside the built-in ones and those of added models.

    With `only_check` nothing is written. Takes the repository's lock.

    Raises:
        Refused: the file cannot be read or is wrong, or there is no catalog; with every problem.
    """
    with repository.locked():
        before = repository.existing_catalog()
        after = compile_file(path, before)
        if not only_check and after != before:
            repository.publish(after)
    return _compared(before, after)


def compile_file(path: Path, catalog: Catalog) -> Catalog:
    """`catalog` with the file's pipelines in the place of those that a file declared before. Raises `Refused`."""
    lines, problems = read_declarations(_read(path))
    builtin, models = catalog.builtin, catalog.models
    problems += [problem for line in lines for problem in problems_of(line, builtin, models)]
    if problems:
        raise Refused(*(f"{path}: {problem}" for problem in problems))
    return compile_catalog(builtin, models, lines)


def read_declarations(document: dict[str, Any]) -> tuple[list[Declaration], list[str]]:
    """The pipelines, of those that are not well formed what can be read, and what is wrong with them."""
    problems = [f"{key}: found at the top; allowed there: [pipelines.NAME]." for key in document if key != "pipelines"]
    tables = document.get("pipelines", {})
    if not isinstance(tables, dict):
        return [], [*problems, f"pipelines: found {quoted(tables)}; expected tables [pipelines.NAME]."]
    lines = []
    for name, table in tables.items():
        wrong = list(_malformed(name, table))
        problems += wrong
        if not wrong or (_NAME.fullmatch(name) and isinstance(table, dict) and _says_what_runs(table)):
            lines.append(Declaration.model_validate({"id": name, **_readable(table)}))
    return lines, problems


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is not UTF-8 text (byte {error.start}).") from error
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"{path} is no TOML: {error}.") from error


def _malformed(name: str, table: object) -> Iterator[str]:
    here = f"pipelines.{name}"
    if not _NAME.fullmatch(name):
        yield f"{here}: a name has 1 to 63 of a-z, 0-9, _ and -, and begins with a letter or a digit."
    if not isinstance(table, dict):
        yield f"{here}: found {quoted(table)}; expected a table [pipelines.{name}]."
        return
    for key, value in table.items():
        if key not in EXPECTED:
            yield f"{here}.{key}: unknown key. {choice(key, EXPECTED)}"
        elif not _fits(key, value):
            yield f"{here}.{key}: found {quoted(value)}; expected {EXPECTED[key]}."


def _fits(key: str, value: object) -> bool:
    match key:
        case "description":
            return isinstance(value, str)
        case "detector":
            return value is False or (isinstance(value, str) and _NAME.fullmatch(value) is not None)
        case "text":
            return isinstance(value, bool)
        case "labels":
            return isinstance(value, list) and len(value) > 0 and all(isinstance(label, str) for label in value)
        case _:
            return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _says_what_runs(table: dict[str, Any]) -> bool:
    """Else what more is found in a table with mistakes might only follow from them."""
    given = [key for key in ("detector", "text") if key in table]
    return bool(given) and all(_fits(key, table[key]) for key in given)


def _readable(table: dict[str, Any]) -> dict[str, Any]:
    """Without what is wrong, which has been told, and without `detector = false`, which says none."""
    right = {key: value for key, value in table.items() if key in EXPECTED and _fits(key, value)}
    return {key: value for key, value in right.items() if value is not False or key != "detector"}


def _compared(before: Catalog, after: Catalog) -> Applied:
    old = {line.id: before.get(line.id) for line in before.declared}
    new = {line.id: after.get(line.id) for line in after.declared}
    return Applied(
        added=tuple(name for name in new if name not in old),
        changed=tuple(name for name in new if name in old and new[name] != old[name]),
        removed=tuple(name for name in old if name not in new),
        unchanged=tuple(name for name in new if name in old and new[name] == old[name]),
    )

"""The one way in which changes to a repository's models and pipelines are refused."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Sequence

_MOST_SHOWN = 12


class Refused(Exception):
    """Nothing was changed. `problems` are sentences for whoever asked, each with what was found and what is allowed."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def quoted(value: object) -> str:
    """What was found, as TOML and JSON write it, and not at any length."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:79] + "…"


def choice(found: str, allowed: Collection[str]) -> str:
    """`Did you mean …?` where something is alike, else what there is."""
    names = {name.casefold(): name for name in allowed}
    meant = [names[alike] for alike in difflib.get_close_matches(found.casefold(), names, n=3)]
    if meant:
        return f"Did you mean {listed(meant)}?"
    return f"Allowed: {listed(list(allowed))}." if allowed else "There is none."


def listed(names: Sequence[str]) -> str:
    """Some names in a row, and how many more there are."""
    shown = ", ".join(names[:_MOST_SHOWN])
    return shown if len(names) <= _MOST_SHOWN else f"{shown} and {len(names) - _MOST_SHOWN} more"

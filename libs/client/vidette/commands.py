"""How the command presents itself where Typer's own ways mislead: a flag takes no value, so its help names none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption


class Command(TyperCommand):
    """One command; those of plugins use it too."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _flags_without_values(super().get_params(ctx))


class Group(TyperGroup):
    """The command of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _flags_without_values(super().get_params(ctx))


def _flags_without_values(parameters: Iterable[Any]) -> list[Any]:
    """`--json` instead of `--json <bool>`. An empty metavar is the one thing that Typer prints nothing for."""
    listed = list(parameters)
    for parameter in listed:
        if isinstance(parameter, TyperOption) and parameter.is_flag and parameter.metavar is None:
            parameter.metavar = ""
    return listed

"""Commands that other packages bring along, under the entry point group `vidette.commands`.

An entry point names a Typer app; its commands stand beside `submit`, `status` and `results`. One that cannot be imported
must not take the others with it: it is reported and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import typer

GROUP: Final = "vidette.commands"


def installed() -> Iterable[EntryPoint]:
    """The plugins of this environment, in a settled order."""
    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def load(entries: Iterable[EntryPoint], complain: Callable[[str], None]) -> Iterator[typer.Typer]:
    """The apps that can be had. `complain` gets one line for each that cannot."""
    for entry in entries:
        try:
            app = entry.load()
        except Exception as error:  # whatever a stranger's module raises while it is imported
            complain(f"The commands of {entry.value} are left out: {type(error).__name__}: {error}")
            continue
        if isinstance(app, typer.Typer):
            yield app
        else:
            complain(f"The commands of {entry.value} are left out: it is no Typer app.")

"""The commands that the embedded stack adds to `vidette`: `up`, `ps`, `down`, `demo` and `models`.

Only data goes to the output stream (`ready URL`, the JSON of `ps`); everything for people goes to the error stream.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from vidette.commands import Command
from vidette_local.models_cli import models
from vidette_local.settings import LocalSettings, check_services, settings_or_exit

app = typer.Typer(pretty_exceptions_enable=False, no_args_is_help=True)
app.add_typer(models, name="models")

_UP_CODES = (
    "Exit codes: 0 stopped by SIGTERM or `vidette down`, 1 a part did not come up, 2 refused before anything was started "
    "(state folder in use, port taken, bad setting), 129 terminal gone, 130 Ctrl-C."
)
_ASK_CODES = "Exit codes: 0 done (also when nothing runs), 1 the running stack does not answer, 2 bad setting."


def _say_where_nothing_is(settings: LocalSettings) -> None:
    """Whoever asks in another folder than the stack was started in is told which one was looked at."""
    if not settings.home.is_dir():
        print(f"There is no state folder {settings.home}. Set VIDETTE_HOME to the one you mean.", file=sys.stderr)


@app.command(cls=Command, epilog=_UP_CODES)
def up() -> None:
    """Run everything on this machine, in the foreground, until Ctrl-C."""
    settings = settings_or_exit()
    check_services()
    # Here and below: the whole stack takes a second to import, and `vidette --help` should not wait for it.
    from vidette_local import run

    raise typer.Exit(run.up(settings))


@app.command(cls=Command, epilog=_ASK_CODES)
def ps(
    _as_json: Annotated[bool, typer.Option("--json", help="Changes nothing: it is JSON anyway.")] = False,
) -> None:
    """Print the running parts and workers as JSON: name, pid, state, address."""
    settings = settings_or_exit()
    _say_where_nothing_is(settings)
    from vidette_local import control
    from vidette_local.home import Home

    try:
        typer.echo(json.dumps(control.ps(Home(settings.home))))
    except control.NoAnswer as silence:
        print(silence, file=sys.stderr)
        raise typer.Exit(1) from None


@app.command(cls=Command, epilog=_ASK_CODES)
def down() -> None:
    """Stop the running stack and wait until it is gone."""
    settings = settings_or_exit()
    _say_where_nothing_is(settings)
    from vidette_local import control
    from vidette_local.home import Home

    try:
        pid = control.down(Home(settings.home))
    except control.NoAnswer as silence:
        print(silence, file=sys.stderr)
        raise typer.Exit(1) from None
    print("nothing runs" if pid is None else f"stopped (process {pid})", file=sys.stderr)


@app.command(
    cls=Command,
    epilog="Exit codes: those of `vidette submit`; 4 also when a part of the stack does not come up, 143 SIGTERM.",
)
def demo(
    frames: Annotated[
        int, typer.Option(min=1, max=100, help="How many frames of the clip to analyse.", metavar="N")
    ] = 12,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="A service to use. Default: the one of this machine.")
    ] = None,
) -> None:
    """Run a short clip through the whole stack and show what was found."""
    settings = settings_or_exit()
    from vidette_local import demo as demonstration

    raise typer.Exit(demonstration.demo(settings, frames, url))

"""`vidette models`: bring a model, look at what there is, take it out again, apply a file of pipelines.

Only data goes to the output stream; everything for people goes to the error stream. A refusal is a sentence, never a stack.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidette.commands import Command, Group
from vidette_local.settings import LocalSettings, settings_or_exit

if TYPE_CHECKING:
    from vidette_models.repository import Repository

models = typer.Typer(cls=Group, no_args_is_help=True, help="The models and pipelines of this machine's stack.")

REFUSED = 2
NOT_NOW = 1
_CODES = "Exit codes: 0 done, also when nothing had to be done; 1 the running stack cannot do it now; 2 refused."

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name that `vidette models list` shows.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on the output stream.")]


@contextmanager
def _refusals(about: str = "") -> Iterator[None]:
    """Every foreseen end of these commands: what was wrong, on the error stream, and an exit code."""
    from vidette_local.home import HomeUnusable
    from vidette_models.errors import UnsupportedModel
    from vidette_models.refusal import Refused
    from vidette_models.user_models import ServerTrouble

    try:
        yield
    except UnsupportedModel as refusal:
        print(f"{about}{refusal}", file=sys.stderr)
        raise typer.Exit(REFUSED) from None
    except (Refused, HomeUnusable) as refusal:
        print(refusal, file=sys.stderr)
        raise typer.Exit(REFUSED) from None
    except ServerTrouble as trouble:
        print(f"Nothing was changed: {trouble}", file=sys.stderr)
        raise typer.Exit(NOT_NOW) from None


@models.command(cls=Command, epilog=_CODES)
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The exported detector, an ONNX file.")],
    family: Annotated[str, typer.Option(help="How its head is to be read: yolo_raw, yolo_e2e, yolox, detr_scored.")],
    labels: Annotated[str, typer.Option(metavar="coco|FILE", help="Its classes: a text file has a label a line.")],
    name: Annotated[str, typer.Option(help="What it and its pipelines NAME and NAME_ocr are called.")],
    size: Annotated[
        int | None, typer.Option(metavar="N", help="Side of its pictures in pixels, where the file leaves it open.")
    ] = None,
    score_threshold: Annotated[
        float | None, typer.Option(metavar="X", help="Drop what is less certain, 0 to 1. Default: 0.25.")
    ] = None,
    iou_threshold: Annotated[
        float | None, typer.Option(metavar="X", help="Of two boxes that overlap more, drop one, 0 to 1. Default: 0.45.")
    ] = None,
) -> None:
    """Bring a detector of your own: live when the stack runs, else at its next start."""
    settings = settings_or_exit()
    with _refusals(f"{file}: "):
        from vidette_local import model_changes

        thresholds = model_changes.Thresholds(score_threshold, iou_threshold)
        lines = model_changes.add(settings, file, family, labels, name, size, thresholds)
    _say(lines)


@models.command("list", cls=Command, epilog=_CODES)
def list_models(as_json: JsonOption = False) -> None:
    """List the models: those that were added, then those that are built in."""
    settings = settings_or_exit()
    with _refusals():
        from vidette_local.models_display import models_table
        from vidette_models.listing import models_of

        found = models_of(_repository(settings))
        if as_json:
            typer.echo(json.dumps({"models": [asdict(model) for model in found]}, ensure_ascii=False))
        else:
            models_table(found)


@models.command(cls=Command, epilog=_CODES)
def show(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show one model: family, labels, thresholds, version, digest, size, pipelines."""
    settings = settings_or_exit()
    with _refusals():
        from vidette_local.models_display import model_table
        from vidette_models.listing import model_named

        found = model_named(_repository(settings), name)
        if as_json:
            typer.echo(json.dumps(asdict(found), ensure_ascii=False))
        else:
            model_table(found)


@models.command(cls=Command, epilog=_CODES)
def remove(name: NameArgument) -> None:
    """Take a model and its pipelines out. Jobs that use it already keep it until they are over."""
    settings = settings_or_exit()
    with _refusals():
        from vidette_local import model_changes

        lines = model_changes.remove(settings, name)
    _say(lines)


@models.command(cls=Command, epilog=_CODES)
def prune() -> None:
    """Delete versions that neither a pipeline nor an unfinished job needs. `add` and `remove` do it too."""
    settings = settings_or_exit()
    with _refusals():
        from vidette_local import model_changes

        lines = model_changes.prune_now(settings)
    _say(lines)


@models.command(cls=Command, epilog=_CODES)
def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Pipelines in TOML; see docs/models.md.")],
    check: Annotated[bool, typer.Option("--check", help="Only say what is wrong and what would change.")] = False,
) -> None:
    """Have exactly the pipelines of a file, beside the built-in ones and those of added models."""
    settings = settings_or_exit()
    with _refusals():
        from vidette_local import model_changes

        lines = model_changes.apply(settings, file, only_check=check)
    _say(lines)


def _repository(settings: LocalSettings) -> Repository:
    from vidette_local.home import Home
    from vidette_models.repository import Repository

    return Repository(Home(settings.home).models)


def _say(lines: list[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)

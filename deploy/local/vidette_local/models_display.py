"""Models as tables, on the output stream."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vidette_models.listing import ModelFacts


def models_table(models: Iterable[ModelFacts]) -> None:
    """Print a row for each model."""
    table = Table(box=box.SIMPLE)
    for column in ("name", "family", "labels", "size", "version", "from", "pipelines"):
        table.add_column(column, overflow="fold")
    for model in models:
        labels, size = str(len(model.labels) or ""), str(model.size or "")
        row = (model.name, model.family, labels, size, str(model.version), model.origin, "\n".join(model.pipelines))
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def model_table(model: ModelFacts) -> None:
    """Print a line for each fact."""
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    facts = {
        "name": model.name,
        "from": model.origin,
        "family": model.family,
        "version": model.version,
        "digest": model.digest,
        "bytes": model.bytes,
        "size": None if model.size is None else f"{model.size} × {model.size} pixels",
        "score threshold": model.score_threshold,
        "IoU threshold": model.iou_threshold,
        "labels": ", ".join(model.labels) or None,
        "pipelines": ", ".join(model.pipelines),
        "kept for jobs": ", ".join(f"version {number}" for number in model.older) or None,
    }
    for fact, value in facts.items():
        if value is not None:
            table.add_row(fact, Text(str(value)))
    Console().print(table)

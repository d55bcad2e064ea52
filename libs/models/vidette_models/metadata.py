"""What exporters write beside the graph. Ultralytics says the task and the classes' names, which a head of final boxes does not
show; where it is said, it is held against what the user declares."""

from __future__ import annotations

import ast

import onnx

from vidette_models.errors import UnsupportedModel

_MOST = 1_000_000
"""Characters of names that are parsed: those of 10,000 classes are fewer."""


def check_metadata(model: onnx.ModelProto, labels: int) -> None:
    """Raises:
    UnsupportedModel: by its own metadata the model is no detector, or has another number of classes.
    """
    said = {entry.key: entry.value for entry in model.metadata_props}
    task = said.get("task", "detect")
    if task != "detect":
        raise UnsupportedModel("model", found=f"task {task[:50]!r} in its metadata", expected="task 'detect'")
    classes = _count(said.get("names", ""))
    if classes is not None and classes != labels:
        found = f"{labels} names, and {classes} in the model's metadata"
        raise UnsupportedModel("labels", found=found, expected="a name for each class")


def _count(names: str) -> int | None:
    """How many classes `{0: 'person', …}` has; None when it is anything else, which is then no evidence."""
    if not names or len(names) > _MOST:
        return None
    try:
        value = ast.literal_eval(names)
    # Deep nesting ends in the last two.
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return len(value) if isinstance(value, dict | list) and value else None

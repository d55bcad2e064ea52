"""The names of a detector's classes: COCO's, or those of a text file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vidette_models.errors import UnsupportedModel

MAX_LABEL = 200
"""Characters, as in `vidette_core.domain.results.Detection.label`."""
MAX_LABELS = 10_000
"""Far beyond the largest public sets (LVIS: 1,203), and small enough to stand in a pinned pipeline."""
_MAX_BYTES = MAX_LABELS * (MAX_LABEL * 4 + 2)

COCO = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard"),
    *("cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase"),
    *("scissors", "teddy bear", "hair drier", "toothbrush"),
)
"""The 80 classes of COCO 2017 in the order that detectors are trained in (category ids ascending, gaps closed)."""


def labels_named(source: str | Path) -> tuple[str, ...]:
    """Labels by what a user says: `coco`, or the path of a UTF-8 text file with one label a line, in the classes' order.

    Space around a label is dropped, and empty lines at the end.

    Raises:
        UnsupportedModel: the file cannot be read, is no such text, or holds a label that `check_labels` refuses.
    """
    if source == "coco":
        return COCO
    return _parse(_read(Path(source)), str(source))


def check_labels(labels: Sequence[str]) -> None:
    """Raises:
    UnsupportedModel: none or too many labels; or one is empty, too long, unprintable, or there twice.
    """
    if not 1 <= len(labels) <= MAX_LABELS:
        raise UnsupportedModel("labels", found=f"{len(labels)} labels", expected=f"1 to {MAX_LABELS}")
    for number, found, expected in _wrong(labels):
        raise UnsupportedModel("labels", found=f"label {number} {found}", expected=expected)


def _wrong(labels: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Number (from 1), what was found, what was expected, of each label that cannot be one."""
    seen: dict[str, int] = {}
    for number, label in enumerate(labels, start=1):
        if not label.strip():
            yield number, "empty", "a name for each class"
        elif len(label) > MAX_LABEL:
            yield number, f"with {len(label)} characters", f"at most {MAX_LABEL}"
        elif not label.isprintable():
            yield number, f"{label!r}", "printable characters only"
        elif label in seen:
            yield number, f"{label!r} again, as in {seen[label]}", "a different name for each class"
        seen.setdefault(label, number)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UnsupportedModel(
            "labels",
            found=f"{path}: {error.strerror}",
            expected="`coco`, or a text file that can be read",
        ) from error
    if len(data) > _MAX_BYTES:
        raise UnsupportedModel("labels", found=f"{path}: over {_MAX_BYTES} bytes", expected="one label a line")
    return data


def _parse(data: bytes, name: str) -> tuple[str, ...]:
    try:
        # Windows' editors put a mark before UTF-8.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UnsupportedModel(
            "labels",
            found=f"{name}, line {line}: bytes that are no UTF-8",
            expected="UTF-8",
            remedy="Save it as UTF-8.",
        ) from error
    labels = [line.strip() for line in text.rstrip().split("\n")] if text.strip() else []
    if not 1 <= len(labels) <= MAX_LABELS:
        raise UnsupportedModel(
            "labels", found=f"{name}: {len(labels)} lines", expected=f"1 to {MAX_LABELS}, a label each"
        )
    for number, found, expected in _wrong(labels):
        raise UnsupportedModel("labels", found=f"{name}, line {number}: {found}", expected=expected)
    return tuple(labels)

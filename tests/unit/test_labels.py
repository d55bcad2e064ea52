"""Labels come from COCO or from a text file, and a file that cannot be right is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidette_models.errors import UnsupportedModel
from vidette_models.labels import COCO, MAX_LABEL, MAX_LABELS, check_labels, labels_named

PRINTABLE = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=MAX_LABEL)

BAD_FILES: dict[str, tuple[bytes, str]] = {
    "an empty line": (b"cat\n\ndog\n", "line 2: empty; expected a name for each class"),
    "a line of spaces": (b"cat\ndog\n   \nbird", "line 3: empty"),
    "a label twice": (b"cat\ndog\ncat\n", "line 3: 'cat' again, as in 1; expected a different name"),
    "a label too long": (b"cat\n" + b"x" * 201, "line 2: with 201 characters; expected at most 200"),
    "other bytes": (b"cat\ndog\n\xff\xfe\n", "line 3: bytes that are no UTF-8"),
    "a control character": (b"cat\nd\x07og\n", "line 2: 'd\\x07og'; expected printable characters only"),
    "nothing": (b"", "0 lines; expected 1 to 10000"),
    "only empty lines": (b"\n\n \n", "0 lines"),
    "too many": (b"\n".join(b"%d" % number for number in range(MAX_LABELS + 1)), "10001 lines; expected 1 to 10000"),
    "a file without end": (b"x" * 20_000_000, "over 8020000 bytes"),
}


def file(folder: Path, data: bytes) -> Path:
    path = folder / "labels.txt"
    path.write_bytes(data)
    return path


def test_coco_is_its_80_classes_in_order() -> None:
    labels = labels_named("coco")
    assert labels is COCO
    assert len(set(labels)) == 80
    assert [labels[number] for number in (0, 39, 56, 79)] == ["person", "bottle", "chair", "toothbrush"]


def test_a_file_that_is_called_coco_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "coco").write_text("cat\n")
    assert labels_named(tmp_path / "coco") == ("cat",)


@pytest.mark.parametrize(
    "data", [b"cat\ntraffic light\n", b"cat\r\ntraffic light\r\n\r\n", b"\xef\xbb\xbfcat\n  traffic light"]
)
def test_a_file_has_a_label_a_line_whatever_wrote_it(tmp_path: Path, data: bytes) -> None:
    assert labels_named(file(tmp_path, data)) == ("cat", "traffic light")
    assert labels_named(str(file(tmp_path, data))) == ("cat", "traffic light")


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_cannot_be_right_is_refused_with_its_line(tmp_path: Path, case: str) -> None:
    data, problem = BAD_FILES[case]
    with pytest.raises(UnsupportedModel) as refusal:
        labels_named(file(tmp_path, data))
    assert problem in str(refusal.value)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("name", ["lost.txt", "."])
def test_a_file_that_cannot_be_read_is_refused_with_what_there_is_instead(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsupportedModel, match="`coco`, or a text file that can be read"):
        labels_named(tmp_path / name)


@given(st.lists(PRINTABLE, min_size=1, max_size=20, unique=True))
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, labels: list[str]) -> None:
    folder = tmp_path_factory.mktemp("labels")
    assert labels_named(file(folder, "\n".join(labels).encode())) == tuple(labels)
    check_labels(labels)

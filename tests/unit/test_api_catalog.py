"""An api without a catalog says so in one sentence that its operator can act on."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidette_api.catalog import CatalogUnusable, read_catalog
from vidette_core.domain.pipelines import Catalog


def test_a_catalog_is_read(tmp_path: Path) -> None:
    file = tmp_path / "catalog.json"
    file.write_text(Catalog(pipelines=()).model_dump_json())
    assert read_catalog(file) == Catalog(pipelines=())


def test_a_catalog_that_is_not_there_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(CatalogUnusable) as caught:
        read_catalog(tmp_path / "catalog.json")
    said = str(caught.value)
    assert said.startswith(
        f"{tmp_path / 'catalog.json'} cannot be read (No such file or directory): set VIDETTE_CATALOG_FILE"
    )
    assert "\n" not in said


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("{", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ("{}", "pipelines: Field required"),
        ('{"pipelines": [{"id": "one"}]}', "pipelines.0.description: Field required"),
    ],
)
def test_a_file_that_is_no_catalog_is_named_with_its_fault(tmp_path: Path, content: str, cause: str) -> None:
    file = tmp_path / "catalog.json"
    file.write_text(content)
    with pytest.raises(CatalogUnusable) as caught:
        read_catalog(file)
    said = str(caught.value)
    assert said.startswith(f"{file} is no catalog ({cause}")
    assert "VIDETTE_CATALOG_FILE" in said
    assert "\n" not in said

"""The catalog as the api sees it: always the last good one, and none at the start is one sentence that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidette_api.catalog import CatalogUnusable, LiveCatalog, read_catalog
from vidette_core.domain.pipelines import Catalog, Pipeline
from vidette_models.repository import CATALOG, Repository


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


def catalog_of(*names: str) -> Catalog:
    return Catalog(pipelines=tuple(Pipeline(id=name, description="", detector=None, text=None) for name in names))


def test_a_published_catalog_counts_at_once_whatever_its_length(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.publish(catalog_of("one"))
    live = LiveCatalog(tmp_path / CATALOG)
    for name in ("two", "six", "ten", "three"):
        repository.publish(catalog_of(name))
        assert live().ids == (name,)


def test_a_catalog_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    Repository(tmp_path).publish(catalog_of("one"))
    live = LiveCatalog(tmp_path / CATALOG)
    assert live() is live()


@pytest.mark.parametrize("content", ["{", "", None])
def test_the_last_good_catalog_stays_while_there_is_no_other(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    repository, file = Repository(tmp_path), tmp_path / CATALOG
    repository.publish(catalog_of("good"))
    live = LiveCatalog(file)
    file.unlink()
    if content is not None:
        file.write_text(content)
    assert [live().ids, live().ids] == [("good",)] * 2
    assert capsys.readouterr().out.count("the last good one stays") == 1
    repository.publish(catalog_of("better"))
    assert live().ids == ("better",)


def test_an_api_does_not_start_without_a_catalog(tmp_path: Path) -> None:
    with pytest.raises(CatalogUnusable):
        LiveCatalog(tmp_path / CATALOG)

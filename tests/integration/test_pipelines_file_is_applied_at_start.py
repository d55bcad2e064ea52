"""`VIDETTE_PIPELINES_FILE`: what it declares is there when Triton starts; a wrong file refuses the start, with every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.triton import write_pipelines
from vidette_local.parts.part import StartFailed
from vidette_local.parts.triton import TritonPart
from vidette_local.settings import LocalSettings


def part(folder: Path, text: str) -> TritonPart:
    file = folder / "pipelines.toml"
    file.write_text(text)
    return TritonPart(
        settings=LocalSettings(home=folder, pipelines_file=file),
        repository=folder / "models",
        stack_id="test",
        grpc_port=1,
        metrics_port=2,
        control_secret="secret",
        write_models=write_pipelines,
    )


async def test_the_pipelines_of_the_file_are_in_the_catalog_at_every_start(tmp_path: Path) -> None:
    first = part(tmp_path, "[pipelines.words]\ntext = true\ntext_threshold = 0.7\n")
    await first.prepare()
    pipeline = first.catalog().get("words")
    assert pipeline is not None
    assert pipeline.text is not None
    assert pipeline.text.confidence_threshold == 0.7
    second = part(tmp_path, '[pipelines.things]\ndetector = "demo-detector"\n')
    await second.prepare()
    assert second.catalog().ids[-1] == "things"
    assert second.catalog().get("words") is None


async def test_a_wrong_file_is_a_start_refused_with_every_mistake(tmp_path: Path) -> None:
    with pytest.raises(StartFailed) as caught:
        await part(tmp_path, '[pipelines.a]\ndetector = "x"\n[pipelines.b]\ntxt = true\n').prepare()
    for place in ("pipelines.a.detector", "pipelines.b.txt"):
        assert place in str(caught.value)


def test_an_empty_variable_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDETTE_PIPELINES_FILE", "")
    assert LocalSettings().pipelines_file is None

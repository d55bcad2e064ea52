"""A file of pipelines: what it makes of the catalog, and every way of being wrong told with what is allowed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from vidette_core.domain.pipelines import (
    Catalog,
    Detector,
    Letterbox,
    ModelRef,
    Origin,
    Pipeline,
    TextReader,
    UserModel,
)
from vidette_models.catalogs import compile_catalog, refresh_catalog
from vidette_models.pipelines_file import apply_file, compile_file
from vidette_models.refusal import Refused
from vidette_models.repository import Repository


def ref(name: str, version: int = 1) -> ModelRef:
    return ModelRef(name=name, version=version, digest="sha256:" + "ab" * 32)


def detector(name: str, labels: tuple[str, ...], version: int = 1) -> Detector:
    return Detector(
        model=ref(name, version),
        family="yolox",
        size=416,
        letterbox=Letterbox.TOP_LEFT,
        labels=labels,
        score_threshold=0.25,
        iou_threshold=0.45,
    )


TEXT = TextReader(detection=ref("ppocr-det"), recognition=ref("ppocr-rec"), alphabet=("a",))
BUILTIN = (
    Pipeline(id="yolo_ocr", description="", detector=detector("demo-detector", ("car", "bus")), text=TEXT),
    Pipeline(id="yolo", description="", detector=detector("demo-detector", ("car", "bus")), text=None),
    Pipeline(id="ocr", description="", detector=None, text=TEXT),
)
NANO = UserModel(name="nano", detector=detector("nano", ("bottle", "cup", "person")), source="sha256:" + "0" * 64)
CATALOG = compile_catalog(BUILTIN, (NANO,), ())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pipelines.toml"


def compiled(file: Path, text: str, catalog: Catalog = CATALOG) -> Catalog:
    file.write_text(text)
    return compile_file(file, catalog)


def problems(file: Path, text: str) -> list[str]:
    file.write_text(text)
    with pytest.raises(Refused) as caught:
        compile_file(file, CATALOG)
    assert all(problem.startswith(f"{file}") for problem in caught.value.problems)
    return [problem.removeprefix(f"{file}: ") for problem in caught.value.problems]


def test_a_pipeline_has_what_its_table_says(file: Path) -> None:
    catalog = compiled(
        file,
        """
        [pipelines.bottles]
        description = "Bottles and their labels"
        detector = "nano"
        text = true
        score_threshold = 0.4
        text_threshold = 0.6
        labels = ["person", "bottle"]
        """,
    )
    pipeline = catalog.get("bottles")
    assert pipeline is not None
    assert pipeline.description == "Bottles and their labels"
    assert pipeline.detector == NANO.detector.model_copy(update={"score_threshold": 0.4, "keep": (0, 2)})
    assert pipeline.detector.kept_labels == ("bottle", "person")
    assert pipeline.text == TEXT.model_copy(update={"confidence_threshold": 0.6})
    assert catalog.origin("bottles") is Origin.FILE


def test_what_a_table_leaves_out_is_as_the_model_has_it(file: Path) -> None:
    catalog = compiled(file, '[pipelines.cars]\ndetector = "demo-detector"\n[pipelines.words]\ntext = true')
    cars, words = catalog.get("cars"), catalog.get("words")
    assert cars == Pipeline(id="cars", description="", detector=BUILTIN[1].detector, text=None)
    assert words == Pipeline(id="words", description="", detector=None, text=TEXT)


def test_pipelines_that_are_no_longer_in_the_file_go_and_all_others_stay(file: Path) -> None:
    before = compiled(file, "[pipelines.one]\ntext = true\n[pipelines.two]\ntext = true")
    after = compiled(file, "[pipelines.two]\ntext = true", before)
    assert after.ids == ("yolo_ocr", "yolo", "ocr", "nano", "nano_ocr", "two")
    assert compiled(file, "", after) == CATALOG


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('detector = "nan"', 'pipelines.x.detector: found "nan", which is no detector here. Did you mean nano?'),
        (
            'detector = "ppocr-det"',
            'pipelines.x.detector: found "ppocr-det", which is no detector here. Allowed: nano, demo-detector.',
        ),
        ("detector = true", "pipelines.x.detector: found true; expected the name of a model, or false."),
        (
            'detector = "nano"\nlabels = ["botle"]',
            'pipelines.x.labels: found "botle", which nano does not know. Did you mean bottle?',
        ),
        (
            'detector = "nano"\nlabels = ["zebra"]',
            'pipelines.x.labels: found "zebra", which nano does not know. Allowed: bottle, cup, person.',
        ),
        ('detector = "nano"\nlabels = []', "pipelines.x.labels: found []; expected a list of one label or more."),
        (
            'detector = "nano"\nscore_threshold = 0.1',
            "pipelines.x.score_threshold: found 0.1; allowed: 0.25 to 1, because nano itself drops what is below. "
            "Add the model again with a lower --score-threshold.",
        ),
        (
            'detector = "nano"\nscore_threshold = 1.5',
            "pipelines.x.score_threshold: found 1.5; expected a number from 0 to 1.",
        ),
        (
            'detector = "nano"\nscore_threshold = true',
            "pipelines.x.score_threshold: found true; expected a number from 0 to 1.",
        ),
        ('text = "yes"', 'pipelines.x.text: found "yes"; expected true or false.'),
        ("text = true\nlables = 0.5", "pipelines.x.lables: unknown key. Did you mean labels?"),
        ("text = true\nscore_threshold = 0.5", "pipelines.x.score_threshold: found 0.5, but there is no detector."),
        ('text = true\nlabels = ["cup"]', 'pipelines.x.labels: found ["cup"], but there is no detector.'),
        ('detector = "nano"\ntext_threshold = 0.5', "pipelines.x.text_threshold: found 0.5, but text is not true."),
        (
            'description = "nothing"',
            "pipelines.x: neither detector nor text; set detector to the name of a model, or text to true.",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_what_was_found_and_what_is_allowed(file: Path, table: str, said: str) -> None:
    assert problems(file, f"[pipelines.x]\n{table}") == [said]


def test_mistakes_of_one_table_are_told_together(file: Path) -> None:
    assert problems(file, '[pipelines.x]\ndetector = "nope"\nbogus = 1') == [
        "pipelines.x.bogus: unknown key. Allowed: description, detector, text, score_threshold, text_threshold, labels.",
        'pipelines.x.detector: found "nope", which is no detector here. Allowed: nano, demo-detector.',
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[pipelines.yolo]\ntext = true", "pipelines.yolo: a built-in pipeline has this name; choose another."),
        ("[pipelines.nano_ocr]\ntext = true", "pipelines.nano_ocr: the model nano has a pipeline of this name"),
        ("[pipelines.Big]\ntext = true", "pipelines.Big: a name has 1 to 63 of a-z"),
        ("[pipeline.x]\ntext = true", "pipeline: found at the top; allowed there: [pipelines.NAME]."),
        ("pipelines = 3", "pipelines: found 3; expected tables [pipelines.NAME]."),
        ("[pipelines]\nx = 3", "pipelines.x: found 3; expected a table [pipelines.x]."),
    ],
)
def test_a_wrong_name_or_place_is_told(file: Path, text: str, said: str) -> None:
    (problem,) = problems(file, text)
    assert problem.startswith(said)


def test_all_mistakes_are_told_at_once(file: Path) -> None:
    found = problems(file, '[pipelines.a]\ndetector = "x"\n[pipelines.b]\ntxt = 1\n[pipelines.yolo]\n')
    assert [problem.split(":")[0] for problem in found] == [
        "pipelines.b.txt",
        "pipelines.a.detector",
        "pipelines.yolo",
        "pipelines.yolo",
    ]


def test_bad_toml_is_told_with_its_line(file: Path) -> None:
    file.write_text("[pipelines.a]\ntext = yes\n")
    with pytest.raises(Refused, match=r"is no TOML: Invalid value \(at line 2, column 8\)"):
        compile_file(file, CATALOG)


def test_a_file_that_cannot_be_read_is_told(file: Path) -> None:
    with pytest.raises(Refused, match=r"cannot be read \(No such file or directory\)"):
        compile_file(file, CATALOG)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Refused, match="is not UTF-8 text"):
        compile_file(file, CATALOG)


def test_checking_a_file_writes_nothing_and_applying_it_says_what_changed(tmp_path: Path, file: Path) -> None:
    repository = Repository(tmp_path / "models")
    with repository.locked():
        repository.publish(CATALOG)
    file.write_text("[pipelines.one]\ntext = true\n[pipelines.two]\ntext = true")
    assert apply_file(repository, file, only_check=True).added == ("one", "two")
    assert repository.catalog() == CATALOG
    assert apply_file(repository, file).added == ("one", "two")
    file.write_text("[pipelines.two]\ntext = true\ntext_threshold = 0.9\n[pipelines.three]\ntext = true")
    applied = apply_file(repository, file)
    assert (applied.added, applied.changed, applied.removed) == (("three",), ("two",), ("one",))
    assert apply_file(repository, file).unchanged == ("two", "three")


def test_a_declared_pipeline_follows_its_model_to_the_next_version(file: Path) -> None:
    before = compiled(file, '[pipelines.few]\ndetector = "nano"\nlabels = ["cup"]')
    newer = UserModel(name="nano", detector=detector("nano", ("cup", "glass"), version=2), source=NANO.source)
    after = compile_catalog(before.builtin, (newer,), before.declared).get("few")
    assert after is not None
    assert after.detector == newer.detector.model_copy(update={"keep": (0,)})


def test_a_newer_installation_keeps_a_declared_pipeline_that_it_cannot_compile_any_more(file: Path) -> None:
    before = compiled(file, '[pipelines.cars]\ndetector = "demo-detector"\nlabels = ["car"]')
    newer = detector("demo-detector", ("lorry",), version=2)
    builtin = tuple(line.model_copy(update={"detector": newer}) if line.detector else line for line in BUILTIN)
    after = refresh_catalog(before, builtin)
    assert after.get("cars") == before.get("cars")
    assert after.builtin == builtin
    assert after.models == before.models


def test_a_pinned_document_from_before_these_fields_keeps_its_meaning_and_its_digest() -> None:
    document = BUILTIN[0].model_dump(mode="json")
    del document["detector"]["keep"], document["text"]["confidence_threshold"]
    old = Pipeline.model_validate(document)
    assert old == BUILTIN[0]
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert old.digest == "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()

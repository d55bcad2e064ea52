"""Adding a model to a repository that nobody serves, and the rules that hold whether or not somebody does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.detectors import LABELS, tiny_yolo
from vidette_core.domain.pipelines import Catalog, Detector, ModelRef, Origin, Pipeline, TextReader
from vidette_local.model_server import StoppedStack
from vidette_models.builtin import serve_detector
from vidette_models.compose import ComposedDetector, compose_detector
from vidette_models.listing import model_named, models_of
from vidette_models.pipelines_file import apply_file
from vidette_models.refusal import Refused
from vidette_models.repository import Repository
from vidette_models.user_models import Change, ServerTrouble, add_model, prune, remove_model

SOURCE = "sha256:" + "0" * 64


class Jobs(StoppedStack):
    """Nobody serves, and the test says what unfinished jobs need."""

    needed: frozenset[ModelRef] | None = frozenset()

    def pinned(self) -> frozenset[ModelRef] | None:
        return self.needed


class Broken(StoppedStack):
    """Refuses, or is away."""

    def __init__(self, repository: Repository, error: Exception) -> None:
        super().__init__(repository)
        self._error = error

    def bring(self, detector: Detector) -> None:
        assert self._repository.holds(detector.model), "it is there to be looked at"
        raise self._error

    def settle(self, name: str) -> None:
        raise ServerTrouble(f"{name} is out of reach")


def composed(seed: int = 1, labels: tuple[str, ...] = LABELS, score: float = 0.25) -> ComposedDetector:
    return compose_detector(tiny_yolo(seed=seed, classes=len(labels)), "yolo_raw", labels, score_threshold=score)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """With a built-in detector, and text models that nobody calls."""
    made = Repository(tmp_path / "models")

    def ref(name: str) -> ModelRef:
        return ModelRef(name=name, version=1, digest=SOURCE)

    text = TextReader(detection=ref("ppocr-det"), recognition=ref("ppocr-rec"), alphabet=("a",))
    with made.locked():
        detector = serve_detector(made, "demo-detector", composed(seed=9))
        both = Pipeline(id="yolo_ocr", description="", detector=detector, text=text)
        alone = Pipeline(id="yolo", description="", detector=detector, text=None)
        made.publish(Catalog(pipelines=(both, alone)))
    return made


@pytest.fixture
def jobs(repository: Repository) -> Jobs:
    return Jobs(repository)


def held(repository: Repository) -> list[tuple[str, int]]:
    return [(name, number) for name in repository.names() for number in repository.versions(name)]


def test_a_model_brings_two_pipelines(repository: Repository, jobs: Jobs) -> None:
    added = add_model(repository, jobs, "mine", composed(), SOURCE)
    catalog = repository.existing_catalog()
    alone, with_text = catalog.get("mine"), catalog.get("mine_ocr")
    assert added.change is Change.ADDED
    assert alone is not None
    assert with_text is not None
    assert alone.detector == with_text.detector == added.model.detector
    assert (alone.text, with_text.text) == (None, catalog.pipelines[0].text)
    assert catalog.origin("mine") is catalog.origin("mine_ocr") is Origin.MODEL
    assert catalog.origin("yolo") is Origin.BUILTIN


def test_other_bytes_are_the_next_version_and_the_unneeded_one_goes(repository: Repository, jobs: Jobs) -> None:
    add_model(repository, jobs, "mine", composed(1), SOURCE)
    added = add_model(repository, jobs, "mine", composed(2), SOURCE)
    assert (added.change, added.model.detector.model.version) == (Change.REPLACED, 2)
    assert added.pruned.versions == (("mine", 1),)
    assert held(repository) == [("demo-detector", 1), ("mine", 2)]


def test_what_a_job_pinned_stays_until_it_is_over(repository: Repository, jobs: Jobs) -> None:
    first = add_model(repository, jobs, "mine", composed(1), SOURCE).model.detector.model
    jobs.needed = frozenset({first})
    add_model(repository, jobs, "mine", composed(2), SOURCE)
    assert model_named(repository, "mine").older == (1,)
    assert remove_model(repository, jobs, "mine").versions == (("mine", 2),)
    assert held(repository) == [("demo-detector", 1), ("mine", 1)]
    jobs.needed = frozenset()
    with repository.locked():
        assert prune(repository, jobs).versions == (("mine", 1),)
    assert held(repository) == [("demo-detector", 1)]


def test_nothing_is_deleted_while_nobody_can_tell_what_jobs_need(repository: Repository, jobs: Jobs) -> None:
    jobs.needed = None
    assert add_model(repository, jobs, "mine", composed(1), SOURCE).pruned.postponed == "", "there is nothing to delete"
    added = add_model(repository, jobs, "mine", composed(2), SOURCE)
    assert added.pruned.versions == ()
    assert added.pruned.postponed
    assert held(repository) == [("demo-detector", 1), ("mine", 1), ("mine", 2)]


def test_other_labels_for_the_same_bytes_are_a_change_without_a_version(repository: Repository, jobs: Jobs) -> None:
    add_model(repository, jobs, "mine", composed(), SOURCE)
    added = add_model(repository, jobs, "mine", composed(labels=("a", "b", "c")), SOURCE)
    assert (added.change, added.model.detector.model.version) == (Change.REPLACED, 1)
    assert repository.existing_catalog().models[0].detector.labels == ("a", "b", "c")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "expected 1 to 59"),
        ("Mine", "expected 1 to 59"),
        ("x" * 60, "expected 1 to 59"),
        ("../up", "expected 1 to 59"),
        ("-x", "a letter or a digit first"),
        ("demo-detector", "is a built-in model"),
        ("ppocr-rec", "is a built-in model"),
        ("yolo", "yolo would bring the pipeline yolo_ocr, and there is one that is built in"),
        ("mine_ocr", "the pipeline mine_ocr, and there is one of mine"),
        ("words", "there is one that is of the pipelines file"),
    ],
)
def test_a_name_that_is_taken_or_none_is_refused(
    repository: Repository, jobs: Jobs, tmp_path: Path, name: str, said: str
) -> None:
    add_model(repository, jobs, "mine", composed(), SOURCE)
    file = tmp_path / "pipelines.toml"
    file.write_text("[pipelines.words]\ntext = true")
    apply_file(repository, file)
    before = repository.existing_catalog()
    with pytest.raises(Refused) as caught:
        add_model(repository, jobs, name, composed(2), SOURCE)
    assert said in str(caught.value)
    assert repository.existing_catalog() == before


@pytest.mark.parametrize("error", [Refused("no"), ServerTrouble("away"), KeyboardInterrupt()])
def test_what_cannot_be_served_leaves_the_repository_as_it_was(repository: Repository, error: Exception) -> None:
    add_model(repository, Jobs(repository), "mine", composed(1), SOURCE)
    before = {path: path.read_bytes() for path in repository.root.rglob("*") if path.is_file()}
    for name in ("mine", "new"):
        with pytest.raises(type(error)):
            add_model(repository, Broken(repository, error), name, composed(2), SOURCE)
    assert {path: path.read_bytes() for path in repository.root.rglob("*") if path.is_file()} == before


def test_a_model_with_pictures_of_another_size_needs_another_name(repository: Repository, jobs: Jobs) -> None:
    add_model(repository, jobs, "mine", composed(), SOURCE)
    other = compose_detector(
        (Path(__file__).parents[2] / "libs/models/vidette_models/demo/detector.onnx"), "yolo_raw", tuple("abcdefgh")
    )
    with pytest.raises(Refused, match="Choose another --name, or remove mine first"):
        add_model(repository, jobs, "mine", other, SOURCE)
    remove_model(repository, jobs, "mine")
    assert add_model(repository, jobs, "mine", other, SOURCE).change is Change.ADDED


def test_a_replacement_that_a_declared_pipeline_cannot_live_with_is_refused(
    repository: Repository, jobs: Jobs, tmp_path: Path
) -> None:
    add_model(repository, jobs, "mine", composed(), SOURCE)
    file = tmp_path / "pipelines.toml"
    file.write_text(f'[pipelines.few]\ndetector = "mine"\nlabels = ["{LABELS[0]}"]')
    apply_file(repository, file)
    before = held(repository), repository.existing_catalog()
    with pytest.raises(Refused, match=r"pipelines\.few\.labels"):
        add_model(repository, jobs, "mine", composed(2, labels=("a", "b", "c")), SOURCE)
    assert (held(repository), repository.existing_catalog()) == before


def test_what_is_built_in_unknown_or_used_by_a_file_is_not_removed(
    repository: Repository, jobs: Jobs, tmp_path: Path
) -> None:
    add_model(repository, jobs, "mine", composed(), SOURCE)
    file = tmp_path / "pipelines.toml"
    file.write_text('[pipelines.few]\ndetector = "mine"')
    apply_file(repository, file)
    for name, said in (("demo-detector", "built in"), ("mime", "Did you mean mine"), ("mine", "pipelines file: few")):
        with pytest.raises(Refused, match=said):
            remove_model(repository, jobs, name)


def test_models_are_listed_with_what_is_their_own(repository: Repository, jobs: Jobs) -> None:
    add_model(repository, jobs, "mine", composed(score=0.5), SOURCE)
    mine, demo, *text = models_of(repository)
    assert (mine.name, mine.origin, mine.family, mine.score_threshold) == ("mine", Origin.MODEL, "yolo_raw", 0.5)
    assert mine.pipelines == ("mine", "mine_ocr")
    assert mine.bytes == len(composed(score=0.5).onnx)
    assert (demo.name, demo.origin, demo.pipelines) == ("demo-detector", Origin.BUILTIN, ("yolo_ocr", "yolo"))
    assert [model.family for model in text] == ["text", "text"]
    with pytest.raises(Refused, match="Did you mean mine"):
        model_named(repository, "mines")

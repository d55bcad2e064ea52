"""The pipelines that every installation starts with: our own demo detector, and the PP-OCR models of `rapidocr`."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from vidette_core.domain.pipelines import Catalog, Detector, Pipeline, TextReader
from vidette_models.catalogs import refresh_catalog
from vidette_models.compose import ComposedDetector, compose_detector
from vidette_models.errors import UnsupportedModel
from vidette_models.repository import Repository, file_digest, replace_if_changed
from vidette_models.served import ServedModel
from vidette_models.text_graphs import TextSources, compose_text, find_sources
from vidette_models.triton_config import Serving

DEMO_FOLDER = Path(__file__).parent / "demo"
"""Holds `detector.onnx` and its card, `detector.json`."""

DETECTOR_BATCH = 16
"""Pictures in one run of a detector. On a GPU-like model throughput levels off there; more only adds latency."""
TEXT_DETECTION_BATCH = 8
"""A text detection input is four times a detector's."""
TEXT_RECOGNITION_BATCH = 32
_TEXT_WARMUP = (320, 320)
_STRIP_WARMUP = (320,)
_STAMP = ".builtin.json"


class _Card(BaseModel):
    """What is needed of the demo detector's card."""

    model_config = ConfigDict(frozen=True)

    family: str
    labels: tuple[str, ...]


class _Stamp(BaseModel):
    """From what the built-in pipelines were written, and what they became."""

    model_config = ConfigDict(frozen=True)

    made_from: str
    pipelines: dict[str, str]


def write_builtin(
    root: Path, serving: Serving | None = None, demo: Path = DEMO_FOLDER, *, lasting: bool = True
) -> Catalog:
    """Write the built-in models and pipelines into the repository at `root`, and return its catalog.

    Pipelines of other names stay. What is there already, by digest, is left untouched, which takes a fraction of a second.
    `lasting`: as `Repository` has it.

    Raises:
        UnsupportedModel: the demo detector or the PP-OCR models are missing, or not what they should be.
    """
    repository = Repository(root, serving, lasting=lasting)
    sources = find_sources()
    made_from = _fingerprint(sources, demo, repository.serving)
    with repository.locked():
        catalog = repository.catalog() or Catalog(pipelines=())
        if _is_current(repository, catalog, made_from):
            return catalog
        pipelines = _write_models(repository, sources, demo)
        names = {pipeline.id for pipeline in pipelines}
        others = tuple(pipeline for pipeline in catalog.builtin if pipeline.id not in names)
        catalog = refresh_catalog(catalog, (*pipelines, *others))
        repository.publish(catalog)
        stamp = _Stamp(made_from=made_from, pipelines={pipeline.id: pipeline.digest for pipeline in pipelines})
        replace_if_changed(root / _STAMP, stamp.model_dump_json().encode())
        return catalog


def serve_detector(repository: Repository, name: str, composed: ComposedDetector) -> Detector:
    """Put a composed detector into the repository and describe it for a pipeline. The caller holds the repository's lock."""
    return Detector(
        model=repository.add(ServedModel(name, composed.onnx, DETECTOR_BATCH)),
        family=composed.family,
        size=composed.size,
        letterbox=composed.letterbox,
        labels=composed.labels,
        score_threshold=composed.score_threshold,
        iou_threshold=composed.iou_threshold,
    )


def _write_models(repository: Repository, sources: TextSources, demo: Path) -> tuple[Pipeline, ...]:
    card = _read_card(demo)
    detector = serve_detector(
        repository, "demo-detector", compose_detector(demo / "detector.onnx", card.family, card.labels)
    )
    graphs = compose_text(sources)
    text = TextReader(
        detection=repository.add(ServedModel("ppocr-det", graphs.detection, TEXT_DETECTION_BATCH, _TEXT_WARMUP)),
        recognition=repository.add(ServedModel("ppocr-rec", graphs.recognition, TEXT_RECOGNITION_BATCH, _STRIP_WARMUP)),
        alphabet=graphs.alphabet,
    )
    return (
        Pipeline(id="yolo_ocr", description="Objects and text", detector=detector, text=text),
        Pipeline(id="yolo", description="Objects only", detector=detector, text=None),
        Pipeline(id="ocr", description="Text only", detector=None, text=text),
    )


def _read_card(demo: Path) -> _Card:
    path = demo / "detector.json"
    try:
        return _Card.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UnsupportedModel(
            "demo detector",
            found=f"no card in {path}",
            expected="family and labels",
            remedy="Install vidette-models again.",
        ) from error


def _fingerprint(sources: TextSources, demo: Path, serving: Serving) -> str:
    """Everything that the built-in models are made from: the files that go in, our own code, how they are served."""
    parts = [version("rapidocr"), repr(serving)]
    parts += [str(path.stat().st_size) for path in (sources.detection, sources.recognition)]
    here = Path(__file__).parent
    code = sorted((*here.glob("*.py"), *here.glob("families/*.py")))
    parts += [str(file_digest(path)) for path in (*code, demo / "detector.onnx", demo / "detector.json")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _is_current(repository: Repository, catalog: Catalog, made_from: str) -> bool:
    try:
        stamp = _Stamp.model_validate_json((repository.root / _STAMP).read_bytes())
    except (OSError, ValidationError):
        return False
    pipelines = [catalog.get(name) for name in stamp.pipelines]
    if stamp.made_from != made_from or None in pipelines:
        return False
    published = {pipeline.id: pipeline.digest for pipeline in pipelines if pipeline is not None}
    if published != stamp.pipelines:
        return False
    models = {model for pipeline in pipelines if pipeline is not None for model in pipeline.models}
    return all(repository.holds(model) for model in models)

"""What a repository serves, model by model, for people and programs that ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vidette_core.domain.pipelines import Catalog, Detector, ModelRef, Origin
from vidette_models.refusal import Refused, choice
from vidette_models.repository import Repository


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model of the catalog, in the version that new jobs get.

    `family` is `text` for a model that reads text. `size` is the side in pixels of the square that a detector looks at. The
    thresholds are those in a detector's graph. `bytes` is the served file's length. `older` are versions kept for jobs.
    """

    name: str
    origin: Origin
    family: str
    version: int
    digest: str
    bytes: int
    pipelines: tuple[str, ...]
    older: tuple[int, ...]
    size: int | None = None
    labels: tuple[str, ...] = ()
    score_threshold: float | None = None
    iou_threshold: float | None = None


def models_of(repository: Repository) -> list[ModelFacts]:
    """Every model of the catalog: detectors that users added first. Raises `Refused` where there is no catalog."""
    catalog = repository.existing_catalog()
    own = [(model.detector.model, model.detector, Origin.MODEL) for model in catalog.models]
    listed = {ref.name for ref, _, _ in own}
    builtin = [(ref, found, Origin.BUILTIN) for ref, found in _builtin(catalog) if ref.name not in listed]
    return [_facts(repository, catalog, *each) for each in (*own, *builtin)]


def model_named(repository: Repository, name: str) -> ModelFacts:
    """Raises `Refused` where there is none."""
    found = {model.name: model for model in models_of(repository)}
    if name not in found:
        raise Refused(f"There is no model {name}. {choice(name, found)}")
    return found[name]


def _builtin(catalog: Catalog) -> Iterator[tuple[ModelRef, Detector | None]]:
    seen: set[str] = set()
    for pipeline in catalog.builtin:
        for ref in pipeline.models:
            if ref.name not in seen:
                seen.add(ref.name)
                is_detector = pipeline.detector is not None and pipeline.detector.model == ref
                yield ref, pipeline.detector if is_detector else None


def _facts(
    repository: Repository, catalog: Catalog, ref: ModelRef, detector: Detector | None, origin: Origin
) -> ModelFacts:
    users = [pipeline.id for pipeline in catalog.pipelines if any(model.name == ref.name for model in pipeline.models)]
    held = repository.versions(ref.name)
    return ModelFacts(
        name=ref.name,
        origin=origin,
        family="text" if detector is None else detector.family,
        version=ref.version,
        digest=ref.digest,
        bytes=repository.file_of(ref).stat().st_size if ref.version in held else 0,
        pipelines=tuple(users),
        older=tuple(number for number in held if number != ref.version),
        size=None if detector is None else detector.size,
        labels=() if detector is None else detector.labels,
        score_threshold=None if detector is None else detector.score_threshold,
        iou_threshold=None if detector is None else detector.iou_threshold,
    )

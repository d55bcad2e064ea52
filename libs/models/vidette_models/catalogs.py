"""From built-in pipelines, added models and declared pipelines to the catalog: one pure function, the same at every change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vidette_core.domain.pipelines import Catalog, Declaration, Detector, Pipeline, TextReader, UserModel
from vidette_models.refusal import Refused, choice, quoted


def compile_catalog(
    builtin: Sequence[Pipeline], models: Sequence[UserModel], declared: Sequence[Declaration]
) -> Catalog:
    """The catalog in which all of them are.

    Raises:
        Refused: with every problem of every declared pipeline.
    """
    problems = [line for each in declared for line in problems_of(each, builtin, models)]
    if problems:
        raise Refused(*problems)
    compiled = [_compiled(each, builtin, models) for each in declared]
    return _catalog(builtin, models, declared, compiled)


def refresh_catalog(catalog: Catalog, builtin: Sequence[Pipeline]) -> Catalog:
    """`catalog` with other built-in pipelines.

    Unlike a user's change this cannot be refused: a declared pipeline that would not compile any more stays as it was, with the
    models that it had.
    """
    kept = [
        catalog.get(each.id)
        if any(problems_of(each, builtin, catalog.models))
        else _compiled(each, builtin, catalog.models)
        for each in catalog.declared
    ]
    return _catalog(builtin, catalog.models, catalog.declared, [pipeline for pipeline in kept if pipeline is not None])


def detectors(builtin: Sequence[Pipeline], models: Sequence[UserModel]) -> dict[str, Detector]:
    """Every detector by the name that a pipelines file calls it."""
    own = {model.name: model.detector for model in models}
    return {**own, **{line.detector.model.name: line.detector for line in builtin if line.detector is not None}}


def text_reader(builtin: Sequence[Pipeline]) -> TextReader | None:
    """The built-in PP-OCR models."""
    return next((line.text for line in builtin if line.text is not None), None)


def problems_of(line: Declaration, builtin: Sequence[Pipeline], models: Sequence[UserModel]) -> Iterator[str]:
    """What is wrong with a declared pipeline, a sentence for each: its name and key, what was found, what is allowed."""
    here = f"pipelines.{line.id}"
    if any(line.id == other.id for other in builtin):
        yield f"{here}: a built-in pipeline has this name; choose another."
    owner = next((model.name for model in models if line.id in model.pipelines), None)
    if owner is not None:
        yield f"{here}: the model {owner} has a pipeline of this name; choose another."
    if line.detector is None and not line.text:
        yield f"{here}: neither detector nor text; set detector to the name of a model, or text to true."
    if line.text and text_reader(builtin) is None:
        yield f"{here}.text: found true, but this repository has no text models."
    if not line.text and line.text_threshold is not None:
        yield f"{here}.text_threshold: found {line.text_threshold}, but text is not true."
    yield from _detector_problems(line, here, detectors(builtin, models))


def _detector_problems(line: Declaration, here: str, known: Mapping[str, Detector]) -> Iterator[str]:
    if line.detector is None:
        for key, value in (("score_threshold", line.score_threshold), ("labels", line.labels)):
            if value is not None:
                yield f"{here}.{key}: found {quoted(value)}, but there is no detector."
        return
    detector = known.get(line.detector)
    if detector is None:
        yield f"{here}.detector: found {quoted(line.detector)}, which is no detector here. {choice(line.detector, known)}"
        return
    least = detector.score_threshold
    if line.score_threshold is not None and line.score_threshold < least:
        yield (
            f"{here}.score_threshold: found {line.score_threshold}; allowed: {least} to 1, because {line.detector} itself drops "
            "what is below. Add the model again with a lower --score-threshold."
        )
    for label in line.labels or ():
        if label not in detector.labels:
            yield f"{here}.labels: found {quoted(label)}, which {line.detector} does not know. {choice(label, detector.labels)}"


def _catalog(
    builtin: Sequence[Pipeline],
    models: Sequence[UserModel],
    declared: Sequence[Declaration],
    compiled: Sequence[Pipeline],
) -> Catalog:
    reader = text_reader(builtin)
    added = [pipeline for model in models for pipeline in _pipelines_of(model, reader)]
    return Catalog(pipelines=(*builtin, *added, *compiled), models=tuple(models), declared=tuple(declared))


def _pipelines_of(model: UserModel, reader: TextReader | None) -> Iterator[Pipeline]:
    alone, with_text = model.pipelines
    yield Pipeline(id=alone, description=f"Objects found by {model.name}", detector=model.detector, text=None)
    if reader is not None:
        description = f"Objects found by {model.name}, and text"
        yield Pipeline(id=with_text, description=description, detector=model.detector, text=reader)


def _compiled(line: Declaration, builtin: Sequence[Pipeline], models: Sequence[UserModel]) -> Pipeline:
    """A declaration without problems as a pipeline."""
    detector = detectors(builtin, models)[line.detector] if line.detector is not None else None
    if detector is not None:
        numbers = None
        if line.labels is not None:
            # A label may stand for several classes of the head.
            numbers = tuple(number for number, label in enumerate(detector.labels) if label in line.labels)
        score = detector.score_threshold if line.score_threshold is None else line.score_threshold
        detector = detector.model_copy(update={"keep": numbers, "score_threshold": score})
    reader = text_reader(builtin) if line.text else None
    if reader is not None and line.text_threshold is not None:
        reader = reader.model_copy(update={"confidence_threshold": line.text_threshold})
    return Pipeline(id=line.id, description=line.description, detector=detector, text=reader)

"""`GET /pipelines`: what a `pipeline_id` may be, and which models stand behind each."""

from __future__ import annotations

from fastapi import APIRouter

from vidette_api.public.schemas import DetectorAnswer, PipelineAnswer, PipelineList, TextAnswer, errors
from vidette_api.wiring import Wired
from vidette_core.domain.pipelines import Detector, Origin, Pipeline, TextReader

router = APIRouter(tags=["pipelines"])


@router.get("/pipelines", summary="List the pipelines", responses=errors(500))
async def pipelines(services: Wired) -> PipelineList:
    catalog = services.catalog()
    shown = (_shown(pipeline, catalog.origin(pipeline.id)) for pipeline in catalog.pipelines)
    return PipelineList(pipelines=tuple(shown))


def _shown(pipeline: Pipeline, origin: Origin) -> PipelineAnswer:
    """What a client has use for: the alphabet of a text model, 18,710 signs, is not part of it."""
    return PipelineAnswer(
        id=pipeline.id,
        description=pipeline.description,
        origin=origin,
        detector=_detector(pipeline.detector) if pipeline.detector else None,
        text=_text(pipeline.text) if pipeline.text else None,
    )


def _detector(detector: Detector) -> DetectorAnswer:
    return DetectorAnswer(
        model=detector.model,
        family=detector.family,
        labels=detector.kept_labels,
        size=detector.size,
        score_threshold=detector.score_threshold,
        iou_threshold=detector.iou_threshold,
    )


def _text(text: TextReader) -> TextAnswer:
    return TextAnswer(detection=text.detection, recognition=text.recognition, text_threshold=text.confidence_threshold)

"""Pipelines as declared data: which models look at a frame, and how their numbers are to be read.

The models tool writes a catalog, the api reads it and pins a pipeline to each job, the worker obeys what is pinned. A pinned
pipeline is content-addressed by `Pipeline.digest`, so that a job keeps its models when the catalog moves on.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"[a-z0-9][a-z0-9_-]{0,62}"
SIDES = (32, 4096)
"""The least and the greatest side of a detector's square, in pixels."""
Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Letterbox(StrEnum):
    """Where the scaled picture stands inside the detector's square; the rest is filled with 114. Stretched, there is no rest."""

    CENTRE = "centre"
    TOP_LEFT = "top_left"
    STRETCH = "stretch"


class ModelRef(_Document):
    """One version of one model in the Triton repository; `digest` is of the served ONNX file's bytes."""

    name: Name
    version: Annotated[int, Field(ge=1)]
    digest: Digest


class Detector(_Document):
    """An object detector served with one contract, whatever family it was composed from.

    Input `frames` UINT8 [N,size,size,3] RGB, letterboxed. Outputs `boxes` FP32 [N,K,4] (x1, y1, x2, y2 in letterbox pixels),
    `scores` FP32 [N,K] (0 is padding) and `classes` INT32 [N,K] (-1 is padding), best first.

    What is below `score_threshold` is dropped, and what is of no class in `keep`: by number, ascending; None keeps all. The
    graph has thresholds of its own, so that `score_threshold` can only be as strict as the graph's or stricter.
    """

    model: ModelRef
    family: str
    size: Annotated[int, Field(ge=SIDES[0], le=SIDES[1])]
    letterbox: Letterbox
    labels: tuple[str, ...]
    score_threshold: Share
    iou_threshold: Share
    keep: tuple[Annotated[int, Field(ge=0)], ...] | None = None

    @property
    def kept_labels(self) -> tuple[str, ...]:
        """The labels that results may hold."""
        return self.labels if self.keep is None else tuple(self.labels[number] for number in self.keep)


class TextReader(_Document):
    """PP-OCR text detection and recognition.

    Detection: `images` UINT8 [N,H,W,3] → `prob` UINT8 [N,1,H,W]. Recognition: `images` UINT8 [N,48,W,3] → `ids` INT32 [N,T]
    (best class per step) and `probs` FP32 [N,T]. `alphabet[i]` is the text of class i + 1; class 0 is the CTC blank.
    A line whose confidence is below `confidence_threshold` is dropped.
    """

    detection: ModelRef
    recognition: ModelRef
    alphabet: tuple[str, ...]
    confidence_threshold: Share = 0.5


class Pipeline(_Document):
    """What a client names in `pipeline_id`, with everything a worker needs to run it."""

    id: Name
    description: str
    detector: Detector | None
    text: TextReader | None

    @property
    def models(self) -> tuple[ModelRef, ...]:
        """Every model the pipeline calls, in the order in which a frame meets them."""
        detector = (self.detector.model,) if self.detector else ()
        text = (self.text.detection, self.text.recognition) if self.text else ()
        return (*detector, *text)

    @property
    def digest(self) -> str:
        """`sha256:` and the hex digest of the canonical JSON (sorted keys, no spaces, UTF-8).

        What has its default is left out, so that a field that a later release adds changes no digest.
        """
        document = self.model_dump(mode="json", exclude_defaults=True)
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


class Origin(StrEnum):
    """Who put a model or a pipeline into the catalog, and so who may take it out."""

    BUILTIN = "builtin"
    """The installation itself."""
    MODEL = "model"
    """Somebody who added a model; the pipeline goes with the model."""
    FILE = "file"
    """A file of pipelines; the pipeline goes when the file does not have it any more."""


class UserModel(_Document):
    """A detector that somebody added. Its pipelines are `<name>` and `<name>_ocr`."""

    name: Name
    detector: Detector
    source: Digest
    """Of the exported file from which the served model was made."""

    @property
    def pipelines(self) -> tuple[str, str]:
        """The ids of its pipelines: objects alone, objects and text."""
        return self.name, f"{self.name}_ocr"


class Declaration(_Document):
    """A pipeline as a file declares it, kept to be compiled again when its model has a new version."""

    id: Name
    description: str = ""
    detector: Name | None = None
    text: bool = False
    score_threshold: Share | None = None
    text_threshold: Share | None = None
    labels: tuple[str, ...] | None = None


class Catalog(_Document):
    """All pipelines of an installation, as written by the models tool (`catalog.json` in the model repository).

    `models` and `declared` say where the pipelines come from that are not built in.
    """

    pipelines: tuple[Pipeline, ...]
    models: tuple[UserModel, ...] = ()
    declared: tuple[Declaration, ...] = ()

    def get(self, pipeline_id: str) -> Pipeline | None:
        return next((pipeline for pipeline in self.pipelines if pipeline.id == pipeline_id), None)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(pipeline.id for pipeline in self.pipelines)

    def origin(self, pipeline_id: str) -> Origin:
        """Where the pipeline of this id comes from."""
        if any(pipeline_id in model.pipelines for model in self.models):
            return Origin.MODEL
        return Origin.FILE if any(pipeline_id == line.id for line in self.declared) else Origin.BUILTIN

    @property
    def builtin(self) -> tuple[Pipeline, ...]:
        """The pipelines of the installation itself."""
        return tuple(pipeline for pipeline in self.pipelines if self.origin(pipeline.id) is Origin.BUILTIN)

"""The model card of the demo detector: what it is, how it was made and what was measured, as data.

A card that could drift from its model would be worse than none: it carries the model's digest, and a test compares.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from vidette_models.demo.evaluation import Accuracy

DETECTOR_NAME: Final = "detector.onnx"
CARD_NAME: Final = "detector.json"


@dataclass(frozen=True, slots=True)
class DemoCard:
    """What `detector.json` says. Accuracies are means over the classes, 0..1."""

    family: str
    labels: tuple[str, ...]
    input_side: int
    """Side of the letterboxed square in pixels; bars are centred and 114 grey."""
    sha256: str
    command: str
    recipe: dict[str, Any]
    training_seconds: int
    versions: dict[str, str]
    stills: Accuracy
    """On single pictures, some of them ruder than any clip."""
    clips: Accuracy
    """On clips that went through H.264."""

    def to_json(self) -> str:
        """The card as it is stored."""
        return json.dumps(asdict(self), indent=2) + "\n"


def digest_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def detector_path() -> Path:
    """Where the detector lies in this installation."""
    return Path(__file__).with_name(DETECTOR_NAME)


def load_card() -> DemoCard:
    """The card of the detector in this installation. Raises ValueError where it is not a card."""
    path = Path(__file__).with_name(CARD_NAME)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        measured = {name: Accuracy(**stored[name]) for name in ("stills", "clips")}
        return DemoCard(**{**stored, **measured, "labels": tuple(stored["labels"])})
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as cause:
        raise ValueError(f"{path.name} is missing or not a model card: reinstall vidette-models") from cause

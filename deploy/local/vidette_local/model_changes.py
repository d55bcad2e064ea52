"""What `vidette models` does, in sentences that say what came of it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from vidette_local.home import Home
from vidette_local.model_server import StoppedStack, server_of
from vidette_local.settings import LocalSettings
from vidette_models.builtin import write_builtin
from vidette_models.compose import ComposedDetector, compose_detector
from vidette_models.labels import labels_named
from vidette_models.pipelines_file import Applied, apply_file
from vidette_models.postprocess import IOU_THRESHOLD, SCORE_THRESHOLD
from vidette_models.refusal import Refused, listed
from vidette_models.repository import CATALOG, Repository, file_digest
from vidette_models.user_models import Change, ModelServer, Pruned, add_model, check_name, prune, remove_model


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Of the graph; None is the default."""

    score: float | None = None
    iou: float | None = None

    def checked(self) -> tuple[float, float]:
        """Raises `Refused`. At 0 a detector would report its padding; at 1 nothing."""
        score = SCORE_THRESHOLD if self.score is None else self.score
        iou = IOU_THRESHOLD if self.iou is None else self.iou
        for option, value in (("--score-threshold", score), ("--iou-threshold", iou)):
            if not 0 < value < 1:
                raise Refused(f"{option}: found {value}; expected more than 0 and less than 1.")
        return score, iou


def add(
    settings: LocalSettings, file: Path, family: str, labels: str, name: str, size: int | None, thresholds: Thresholds
) -> list[str]:
    """Raises `Refused`, `UnsupportedModel`, `ServerTrouble`, `HomeUnusable`; then nothing has changed."""
    score, iou = thresholds.checked()
    server, repository = _ready_to_change(settings)
    # Before the model is looked at, which takes seconds; it counts only under the lock.
    check_name(repository.existing_catalog(), name)
    composed, source = _composed(file, family, labels, size, score, iou)
    added = add_model(repository, server, name, composed, source)
    model = added.model.detector.model
    what = f"{name} version {model.version} ({model.digest[7:19]})"
    if added.change is Change.UNCHANGED:
        return [f"{what} is there already; nothing was changed."]
    when = "from the next start on" if isinstance(server, StoppedStack) else "now"
    pipelines = " and ".join(added.model.pipelines)
    return [f"{what} {added.change}; its pipelines {pipelines} can be used {when}.", *_told(added.pruned)]


def remove(settings: LocalSettings, name: str) -> list[str]:
    """Raises `Refused`, `ServerTrouble`."""
    home = Home(settings.home)
    pruned = remove_model(Repository(home.models), server_of(home), name)
    return [f"{name} and its pipelines removed.", *_told(pruned)]


def prune_now(settings: LocalSettings) -> list[str]:
    """Raises `Refused`, `ServerTrouble`."""
    home = Home(settings.home)
    repository = Repository(home.models)
    repository.existing_catalog()
    server = server_of(home)
    with repository.locked():
        pruned = prune(repository, server)
    return _told(pruned) or ["There was nothing to delete."]


def apply(settings: LocalSettings, file: Path, *, only_check: bool) -> list[str]:
    """Raises `Refused`, `UnsupportedModel`, `HomeUnusable`; then nothing has changed."""
    home = Home(settings.home)
    if only_check and not (home.models / CATALOG).is_file():
        with tempfile.TemporaryDirectory(prefix="vidette-check-") as folder:
            write_builtin(Path(folder))
            return _changes(apply_file(Repository(Path(folder)), file, only_check=True), "would be ")
    if only_check:
        return _changes(apply_file(Repository(home.models), file, only_check=True), "would be ")
    _, repository = _ready_to_change(settings)
    return _changes(apply_file(repository, file), "")


def _ready_to_change(settings: LocalSettings) -> tuple[ModelServer, Repository]:
    """The server, and the repository with the built-in models in it, which a stopped stack may never have written."""
    home = Home(settings.home)
    home.make()
    server = server_of(home)
    if isinstance(server, StoppedStack):
        write_builtin(home.models)
    return server, Repository(home.models)


def _composed(
    file: Path, family: str, labels: str, size: int | None, score: float, iou: float
) -> tuple[ComposedDetector, str]:
    try:
        source = file_digest(file)
    except OSError as error:
        raise Refused(f"{file} cannot be read ({error.strerror}).") from error
    if source is None:
        raise Refused(f"There is no file {file}.")
    composed = compose_detector(file, family, labels_named(labels), size=size, score_threshold=score, iou_threshold=iou)
    return composed, source


def _told(pruned: Pruned) -> list[str]:
    deleted = [f"{name} version {number}" for name, number in pruned.versions]
    lines = [f"Deleted, since nothing needs it any more: {listed(deleted)}."] if deleted else []
    if pruned.postponed:
        lines.append(f"Older versions are kept for now ({pruned.postponed}). `vidette models prune` looks again.")
    return lines


def _changes(applied: Applied, tense: str) -> list[str]:
    kinds = {"added": applied.added, "changed": applied.changed, "removed": applied.removed}
    lines = [f"{tense}{kind}: {listed(names)}".capitalize() for kind, names in kinds.items() if names]
    return lines or ["Nothing changes." if tense else "Nothing changed."]

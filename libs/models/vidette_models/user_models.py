"""Putting a user's detector into a repository and taking it out, so that what is published can be served.

The order is what makes it safe: the version is written, then served and proved, then published; what is not wanted any more is
published away first and deleted last, unless an unfinished job has pinned it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from vidette_core.domain.pipelines import Catalog, Detector, ModelRef, Origin, UserModel
from vidette_models.builtin import DETECTOR_BATCH, serve_detector
from vidette_models.catalogs import compile_catalog, detectors
from vidette_models.compose import ComposedDetector
from vidette_models.refusal import Refused, choice, listed
from vidette_models.repository import Repository
from vidette_models.served import ServedModel, tensor_specs

LONGEST_NAME = 59
"""A pipeline's name has at most 63 characters, and `_ocr` is four of them."""
_ORIGIN = {Origin.BUILTIN: "built in", Origin.FILE: "of the pipelines file", Origin.MODEL: "of another model"}


class ServerTrouble(Exception):
    """The server of a repository cannot do now what it was asked for. The message says why and what to do."""


class ModelServer(Protocol):
    """Whoever serves a repository: a running stack, or nobody until the next start."""

    def bring(self, detector: Detector) -> None:
        """Serve the detector's version beside the others, and prove it by one inference.

        Raises:
            Refused: the model cannot be served.
            ServerTrouble: the server is away.
        """

    def settle(self, name: str) -> None:
        """Serve what the repository holds of the model now, which may be nothing. Raises `ServerTrouble`."""

    def pinned(self) -> frozenset[ModelRef] | None:
        """The versions that unfinished jobs need; None when nobody can tell now. Raises `ServerTrouble`."""


class Change(StrEnum):
    """What adding a model came to."""

    ADDED = "added"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Pruned:
    """Versions that were deleted; `postponed` says why not all of them, or none, could be looked at."""

    versions: tuple[tuple[str, int], ...] = ()
    postponed: str = ""


@dataclass(frozen=True, slots=True)
class Added:
    model: UserModel
    change: Change
    pruned: Pruned = Pruned()


def add_model(repository: Repository, server: ModelServer, name: str, composed: ComposedDetector, source: str) -> Added:
    """Serve a composed detector under `name` and publish its pipelines. The same again changes nothing.

    Args:
        source: the digest of the exported file.

    Raises:
        Refused: the name is taken, or the model cannot be served; the repository is as it was.
        ServerTrouble: the server is away; the repository is as it was.
    """
    with repository.locked():
        catalog = repository.existing_catalog()
        check_name(catalog, name)
        known = next((model for model in catalog.models if model.name == name), None)
        if known is not None and _is_same(known.detector, name, composed) and repository.holds(known.detector.model):
            return Added(known, Change.UNCHANGED)
        _check_shape(repository, server, name, composed)
        with _undone_on_failure(repository, server, name):
            detector = serve_detector(repository, name, composed)
            model = UserModel(name=name, detector=detector, source=source)
            others = tuple(other for other in catalog.models if other.name != name)
            after = compile_catalog(catalog.builtin, (*others, model), catalog.declared)
            server.bring(detector)
            repository.publish(after)
        change = Change.ADDED if known is None else Change.REPLACED
        return Added(model, change, prune(repository, server))


def remove_model(repository: Repository, server: ModelServer, name: str) -> Pruned:
    """Take a model and its pipelines out of the catalog; its files stay for as long as an unfinished job needs them.

    Raises:
        Refused: there is no such model, it is built in, or a pipeline of a file uses it.
    """
    with repository.locked():
        catalog = repository.existing_catalog()
        own = [model.name for model in catalog.models]
        if name not in own:
            if name in _builtin_models(catalog):
                raise Refused(f"{name} is built in and cannot be removed.")
            raise Refused(f"There is no model {name}. {choice(name, own)}")
        users = [line.id for line in catalog.declared if line.detector == name]
        if users:
            raise Refused(
                f"{name} is used by the pipelines file: {listed(users)}. "
                "Take them out of the file and apply it, then remove the model."
            )
        kept = tuple(model for model in catalog.models if model.name != name)
        repository.publish(compile_catalog(catalog.builtin, kept, catalog.declared))
        return prune(repository, server)


def prune(repository: Repository, server: ModelServer) -> Pruned:
    """Delete versions that neither the catalog nor an unfinished job needs. The caller holds the repository's lock.

    Race-free because the catalog is published before the jobs are asked for, and because an api takes a pipeline from the
    catalog only once the job's row says that an upload is under way, which `ModelServer.pinned` respects.
    """
    catalog = repository.catalog()
    if catalog is None:
        return Pruned(postponed="there is no catalog")
    held = {(name, number) for name in repository.names() for number in repository.versions(name)}
    unlisted = held - {(model.name, model.version) for pipeline in catalog.pipelines for model in pipeline.models}
    if not unlisted:
        return Pruned()
    deleted: list[tuple[str, int]] = []
    try:
        pinned = server.pinned()
        if pinned is None:
            return Pruned(postponed="a job may still need them")
        stale = sorted(unlisted - {(model.name, model.version) for model in pinned})
        for name in sorted({name for name, _ in stale}):
            versions = [number for model, number in stale if model == name]
            repository.delete(name, versions)
            deleted += [(name, number) for number in versions]
            server.settle(name)
    except ServerTrouble as trouble:
        return Pruned(tuple(deleted), str(trouble))
    return Pruned(tuple(deleted))


def check_name(catalog: Catalog, name: str) -> None:
    """Raises `Refused` when `name` is no name, or it or one of its pipelines' names belongs to something else."""
    if not 0 < len(name) <= LONGEST_NAME or not all(sign in "abcdefghijklmnopqrstuvwxyz0123456789_-" for sign in name):
        raise Refused(f"--name: found {name[:80]!r}; expected 1 to {LONGEST_NAME} of a-z, 0-9, _ and -.")
    if name[0] in "_-":
        raise Refused(f"--name: found {name!r}; expected a letter or a digit first.")
    if name in _builtin_models(catalog):
        raise Refused(f"{name} is a built-in model. Choose another --name.")
    own = {name, f"{name}_ocr"}
    for pipeline in catalog.pipelines:
        owner = next((model.name for model in catalog.models if pipeline.id in model.pipelines), None)
        if pipeline.id in own and owner != name:
            whose = f"of {owner}" if owner else f"that is {_ORIGIN[catalog.origin(pipeline.id)]}"
            raise Refused(
                f"{name} would bring the pipeline {pipeline.id}, and there is one {whose}. Choose another --name."
            )


def _builtin_models(catalog: Catalog) -> frozenset[str]:
    return frozenset(model.name for pipeline in catalog.builtin for model in pipeline.models)


def _is_same(detector: Detector, name: str, composed: ComposedDetector) -> bool:
    digest = ServedModel(name, composed.onnx, DETECTOR_BATCH).digest
    return detector.model.digest == digest and detector.labels == composed.labels and detector.family == composed.family


def _check_shape(repository: Repository, server: ModelServer, name: str, composed: ComposedDetector) -> None:
    """One configuration serves all versions of a model, and it says how large a picture is."""
    new = tensor_specs(composed.onnx)

    def others() -> list[int]:
        held = repository.versions(name)
        return [number for number in held if tensor_specs(repository.onnx(name, number)) != new]

    if not others():
        return
    prune(repository, server)
    if others():
        catalog = repository.existing_catalog()
        used = name in detectors((), catalog.models)
        then = f"remove {name} first" if used else f"wait until the jobs that use the removed {name} are over"
        raise Refused(
            f"{name} stands for a model with pictures of another size, or another number of boxes, and one name cannot serve "
            f"both. Choose another --name, or {then}."
        )


@contextmanager
def _undone_on_failure(repository: Repository, server: ModelServer, name: str) -> Iterator[None]:
    before = repository.state_of(name)
    try:
        yield
    except BaseException:
        if repository.restore(name, before):
            # Away, it will serve what is there when it is back; the first trouble is the one to tell.
            with suppress(ServerTrouble):
                server.settle(name)
        raise

"""Writing Triton's model repository, so that a crash at any moment leaves one that serves.

    <repository>/<model>/config.pbtxt
    <repository>/<model>/<version>/model.onnx
    <repository>/catalog.json

Each step is one atomic rename, in an order in which what is written earlier is valid without what comes later: the version,
its configuration, and last the catalog, by which everyone else goes. Staging happens inside a model's own folder, where Triton
looks for numbers only; a stray folder beside the models would be taken for a model.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidette_core.domain.pipelines import Catalog, ModelRef
from vidette_models.refusal import Refused
from vidette_models.served import ServedModel
from vidette_models.triton_config import Serving, TensorRt, accelerated, render_config

CATALOG = "catalog.json"
LOCK_SECONDS = 300.0
"""How long a writer waits for another: loading a large model takes a minute, composing the built-in ones seconds."""
_CONFIG = "config.pbtxt"
_STAGING = ".staging-"
_NUMBERING_DIGITS = 7
"""Hexadecimal ones of a digest: 268 million numbers, which Triton takes for versions and people can still read."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """What a repository held of one model at some moment; enough to come back to it after something was added."""

    versions: frozenset[int]
    config: bytes | None


class Repository:
    """One model repository on disk. Writers take `locked()` first; readers need nothing.

    Args:
        root: its folder.
        serving: how its models are served.
        lasting: whether it knows what it held before, and numbers versions one after the other. One that is made anew with each
            pod does not: there a version's number follows from its content, so that a job which pinned a model of an earlier
            installation never meets another one under its number.
    """

    def __init__(self, root: Path, serving: Serving | None = None, *, lasting: bool = True) -> None:
        self.root = root
        self._lasting = lasting
        self.serving = serving or Serving()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers of this repository out. A dead process holds no lock. Raises `Refused` after LOCK_SECONDS."""
        self.root.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + LOCK_SECONDS
        with (self.root / ".lock").open("w") as handle:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise Refused(f"Another process is changing the models in {self.root}; try again.") from None
                    time.sleep(0.05)
            yield

    def add(self, model: ServedModel) -> ModelRef:
        """Put a model in, or find it there: the same bytes are the same version, other bytes are the next one."""
        folder = self.root / model.name
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"{_STAGING}*"):
            shutil.rmtree(leftover)
        version = self._version_of(folder, model.digest)
        if version is None:
            version = self._next_version(model)
            with tempfile.TemporaryDirectory(prefix=_STAGING, dir=folder) as staging:
                incoming = Path(staging) / str(version)
                incoming.mkdir(mode=0o755)
                _write(incoming / "model.onnx", model.onnx)
                incoming.rename(folder / str(version))
        replace_if_changed(folder / _CONFIG, render_config(model, self.serving).encode())
        return ModelRef(name=model.name, version=version, digest=model.digest)

    def _next_version(self, model: ServedModel) -> int:
        if self._lasting:
            return max(self.versions(model.name), default=0) + 1
        return 1 + int(model.digest.rpartition(":")[2][:_NUMBERING_DIGITS], 16)

    def holds(self, model: ModelRef) -> bool:
        """Whether this very version is on disk, configured, with the bytes that its digest promises."""
        return file_digest(self.file_of(model)) == model.digest and (self.root / model.name / _CONFIG).is_file()

    def publish(self, catalog: Catalog) -> None:
        """Make `catalog` the one that counts."""
        replace_if_changed(self.root / CATALOG, catalog.model_dump_json().encode())

    def catalog(self) -> Catalog | None:
        """The published catalog, or None while there is none."""
        try:
            return Catalog.model_validate_json((self.root / CATALOG).read_bytes())
        except FileNotFoundError:
            return None

    def existing_catalog(self) -> Catalog:
        """The published catalog. Raises `Refused` where there is none, or none that this release can read."""
        try:
            catalog = self.catalog()
        except ValueError as error:
            raise Refused(
                f"{self.root / CATALOG} is no catalog of this release. Start the stack to write it anew."
            ) from error
        if catalog is None:
            raise Refused(f"There is no catalog in {self.root}. Start the stack to write it.")
        return catalog

    def accelerate(self, name: str, tensorrt: TensorRt | None) -> None:
        """Have a model run by TensorRT, or not any more. A server takes notice at its next load."""
        config = self.root / name / _CONFIG
        replace_if_changed(config, accelerated(config.read_text(), tensorrt).encode())

    def names(self) -> list[str]:
        """The models of which there is anything, in order."""
        return sorted(entry.name for entry in self.root.iterdir() if (entry / _CONFIG).is_file())

    def versions(self, name: str) -> list[int]:
        """The versions of a model that are on disk, in order."""
        folder = self.root / name
        if not folder.is_dir():
            return []
        return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal() and entry.is_dir())

    def file_of(self, model: ModelRef) -> Path:
        """Where the served file of a version lies, or would lie."""
        return self.root / model.name / str(model.version) / "model.onnx"

    def onnx(self, name: str, version: int) -> bytes:
        """The served file of one version."""
        return (self.root / name / str(version) / "model.onnx").read_bytes()

    def state_of(self, name: str) -> ModelState:
        """What there is of a model now, to `restore` it. The caller holds the lock."""
        config = self.root / name / _CONFIG
        return ModelState(frozenset(self.versions(name)), config.read_bytes() if config.is_file() else None)

    def restore(self, name: str, state: ModelState) -> bool:
        """Take back what was added to a model since; returns whether anything was. The caller holds the lock."""
        added = [number for number in self.versions(name) if number not in state.versions]
        self.delete(name, added)
        if state.config is not None:
            replace_if_changed(self.root / name / _CONFIG, state.config)
        return bool(added)

    def delete(self, name: str, versions: Collection[int]) -> None:
        """Delete versions of a model, and the model with its last one. The caller holds the lock."""
        folder = self.root / name
        for number in versions:
            # Renamed at once, so that no server ever finds half a version.
            gone = folder / f"{_STAGING}{number}"
            shutil.rmtree(gone, ignore_errors=True)
            (folder / str(number)).rename(gone)
            shutil.rmtree(gone)
        if folder.is_dir() and not self.versions(name):
            (folder / _CONFIG).unlink(missing_ok=True)
            shutil.rmtree(folder)

    def _version_of(self, folder: Path, digest: str) -> int | None:
        """The version with these bytes."""
        versions = reversed(self.versions(folder.name))
        return next((number for number in versions if file_digest(folder / str(number) / "model.onnx") == digest), None)


def file_digest(path: Path) -> str | None:
    """`sha256:` and the hex digest of a file; None when it is not there."""
    try:
        with path.open("rb") as handle:
            return "sha256:" + hashlib.file_digest(handle, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def replace_if_changed(path: Path, data: bytes) -> None:
    """Write a file in one step, and leave it untouched, time and all, when it holds the same already."""
    if path.is_file() and path.read_bytes() == data:
        return
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(descriptor)
    try:
        _write(Path(temporary), data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as handle:
        handle.write(data)
        handle.flush()
        # Before the rename: after a power failure the new name must not stand for an empty file.
        os.fsync(handle.fileno())

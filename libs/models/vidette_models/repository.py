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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidette_core.domain.pipelines import Catalog, ModelRef
from vidette_models.served import ServedModel
from vidette_models.triton_config import Serving, render_config

CATALOG = "catalog.json"
_STAGING = ".staging-"


class Repository:
    """One model repository on disk. Writers take `locked()` first; readers need nothing."""

    def __init__(self, root: Path, serving: Serving | None = None) -> None:
        self.root = root
        self.serving = serving or Serving()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers of this repository out. Waits for them: a write takes seconds, and a dead process holds no lock."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def add(self, model: ServedModel) -> ModelRef:
        """Put a model in, or find it there: the same bytes are the same version, other bytes are the next one."""
        folder = self.root / model.name
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"{_STAGING}*"):
            shutil.rmtree(leftover)
        version = self._version_of(folder, model.digest)
        if version is None:
            version = max(_versions(folder), default=0) + 1
            with tempfile.TemporaryDirectory(prefix=_STAGING, dir=folder) as staging:
                incoming = Path(staging) / str(version)
                incoming.mkdir(mode=0o755)
                _write(incoming / "model.onnx", model.onnx)
                incoming.rename(folder / str(version))
        replace_if_changed(folder / "config.pbtxt", render_config(model, self.serving).encode())
        return ModelRef(name=model.name, version=version, digest=model.digest)

    def holds(self, model: ModelRef) -> bool:
        """Whether this very version is on disk, configured, with the bytes that its digest promises."""
        folder = self.root / model.name
        served = file_digest(folder / str(model.version) / "model.onnx")
        return served == model.digest and (folder / "config.pbtxt").is_file()

    def publish(self, catalog: Catalog) -> None:
        """Make `catalog` the one that counts."""
        replace_if_changed(self.root / CATALOG, catalog.model_dump_json().encode())

    def catalog(self) -> Catalog | None:
        """The published catalog, or None while there is none."""
        try:
            return Catalog.model_validate_json((self.root / CATALOG).read_bytes())
        except FileNotFoundError:
            return None

    def _version_of(self, folder: Path, digest: str) -> int | None:
        """The version with these bytes, among those that are served."""
        served = sorted(_versions(folder), reverse=True)[: self.serving.versions]
        return next((number for number in served if file_digest(folder / str(number) / "model.onnx") == digest), None)


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


def _versions(folder: Path) -> list[int]:
    return [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal() and entry.is_dir()]

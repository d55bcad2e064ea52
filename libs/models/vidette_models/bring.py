"""Bringing a model repository that somebody wrote elsewhere, from a folder or a store, to where Triton reads it.

Nothing is believed: only files that belong into a repository are copied, and the digests in the catalog decide whether all came.
The catalog is written last; until then the one that was there counts.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, Protocol

from vidette_core.domain.pipelines import Catalog
from vidette_core.ports.blobs import BlobStore
from vidette_core.ports.errors import NotFound
from vidette_models.refusal import Refused, listed
from vidette_models.repository import CATALOG, Repository, replace_if_changed

MAX_FILE_BYTES: Final = 1 << 30
"""Of one model. It is held in memory while it is copied; ONNX itself ends at 2 GiB."""
_FILE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}/(config\.pbtxt|[1-9][0-9]{0,8}/model\.onnx)")


class Source(Protocol):
    """Where a repository is read from."""

    @property
    def name(self) -> str:
        """For messages."""

    def files(self) -> AsyncIterator[str]:
        """Paths inside of the repository, in any order."""

    async def read(self, path: str) -> bytes | None:
        """The content of a file; None when there is none. Raises `Refused` for one beyond MAX_FILE_BYTES."""


class FolderSource:
    """A mounted volume, perhaps read-only."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = str(root)

    async def files(self) -> AsyncIterator[str]:
        for path in sorted(self.root.rglob("*")):
            if path.is_file():
                yield path.relative_to(self.root).as_posix()

    async def read(self, path: str) -> bytes | None:
        try:
            if (self.root / path).stat().st_size > MAX_FILE_BYTES:
                raise Refused(f"{self.root / path} is larger than {MAX_FILE_BYTES >> 20} MiB.")
            return (self.root / path).read_bytes()
        except FileNotFoundError:
            return None


class StoreSource:
    """The objects below a prefix of the store's bucket."""

    def __init__(self, store: BlobStore, prefix: str) -> None:
        self._store = store
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.name = f"the store's prefix {self._prefix or '(none)'}"

    async def files(self) -> AsyncIterator[str]:
        async for key in self._store.list(self._prefix):
            yield key.removeprefix(self._prefix)

    async def read(self, path: str) -> bytes | None:
        try:
            return await self._store.get(self._prefix + path, MAX_FILE_BYTES)
        except NotFound:
            return None


async def bring(source: Source, repository: Repository, tell: Callable[[str], None]) -> Catalog:
    """Copy a whole repository. What is there already with the same bytes is left untouched.

    Raises:
        Refused: there is no catalog that this release reads, or models of the catalog are missing or have other bytes.
        PortError: the store is away, or refuses.
    """
    catalog = _read(await source.read(CATALOG), source)
    with repository.locked():
        async for path in source.files():
            content = await source.read(path) if _FILE.fullmatch(path) else None
            if content is not None:
                target = repository.root / path
                target.parent.mkdir(parents=True, exist_ok=True)
                replace_if_changed(target, content)
                tell(f"{path}: {len(content)} bytes")
        models = {model for pipeline in catalog.pipelines for model in pipeline.models}
        missing = sorted(f"{model.name} version {model.version}" for model in models if not repository.holds(model))
        if missing:
            raise Refused(
                f"The catalog of {source.name} names models that are not there, or not with the bytes of their digests: "
                f"{listed(missing)}. Copy the whole folder again, catalog.json last."
            )
        repository.publish(catalog)
    return catalog


def _read(content: bytes | None, source: Source) -> Catalog:
    if content is None:
        raise Refused(f"There is no {CATALOG} in {source.name}: put the folder there that `vidette models` wrote.")
    try:
        return Catalog.model_validate_json(content)
    except ValueError as error:
        raise Refused(
            f"{CATALOG} in {source.name} is no catalog of this release. Write it anew with this one."
        ) from error

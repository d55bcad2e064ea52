"""The catalog as it is now: models and pipelines come and go while the api runs.

Without one at the start the api knows no pipeline, and its operator reads why in one sentence. Later a catalog that cannot be
read is no reason to stop: the last good one counts until the next.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog
from pydantic import ValidationError

from vidette_core.domain.pipelines import Catalog

CurrentCatalog = Callable[[], Catalog]
"""Asked anew each time that it matters."""
_Signature = tuple[int, int, int]
_log = structlog.get_logger(__name__)


class CatalogUnusable(Exception):
    """There is no catalog where the settings say. The message names cause and remedy."""


class LiveCatalog:
    """Reads the file again when it changed. Writers replace it whole, so that what is read is never half of it.

    Raises `CatalogUnusable` when it is made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Before reading: a file that is replaced in between is then read once more, and not once too few.
        self._seen = _signature(path)
        self._catalog = read_catalog(path)

    def __call__(self) -> Catalog:
        """The catalog that counts. A look at the file's metadata, some microseconds, unless it changed."""
        found = _signature(self._path)
        if found != self._seen:
            self._seen = found
            try:
                self._catalog = read_catalog(self._path)
            except CatalogUnusable as unusable:
                _log.error(
                    "the catalog changed to one that cannot be used; the last good one stays", cause=str(unusable)
                )
            else:
                _log.info("the catalog changed", pipelines=self._catalog.ids)
        return self._catalog


def _signature(path: Path) -> _Signature | None:
    """What differs between two files that were put in one place one after the other."""
    try:
        details = path.stat()
    except OSError:
        return None
    return details.st_ino, details.st_mtime_ns, details.st_size


def read_catalog(path: Path) -> Catalog:
    """Raises `CatalogUnusable`."""
    try:
        return Catalog.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CatalogUnusable(_sentence(path, f"cannot be read ({error.strerror})")) from error
    except ValidationError as error:
        raise CatalogUnusable(_sentence(path, f"is no catalog ({_first(error)})")) from error


def _sentence(path: Path, what: str) -> str:
    return (
        f"{path} {what}: set VIDETTE_CATALOG_FILE to the catalog.json that the models tool wrote into the model repository,"
        " or have it written anew."
    )


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]

"""Reading the catalog at the start: without it the api knows no pipeline, and its operator should read why in one sentence."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from vidette_core.domain.pipelines import Catalog


class CatalogUnusable(Exception):
    """There is no catalog where the settings say. The message names cause and remedy."""


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

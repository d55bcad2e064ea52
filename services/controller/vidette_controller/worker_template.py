"""The installation's pod template for workers, read and checked at the start: a mistake is told then, and not by each job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vidette_core.adapters.kube.names import WORKER


class WrongTemplate(Exception):
    """The file cannot be used; the message says which file, what is wrong, and what is expected."""


def read_worker_template(path: Path) -> Mapping[str, Any]:
    """The pod template. Raises `WrongTemplate`."""
    try:
        found = yaml.safe_load(path.read_text())
    except OSError as error:
        raise WrongTemplate(f"{path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise WrongTemplate(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    containers = _at(found, "spec", "containers")
    if not isinstance(containers, list) or not all(isinstance(entry, Mapping) for entry in containers):
        raise WrongTemplate(f"{path} is no pod template: spec.containers has to be a list of containers")
    workers = [entry for entry in containers if entry.get("name") == WORKER]
    if len(workers) != 1 or not workers[0].get("image"):
        raise WrongTemplate(f"{path}: exactly one container has to be named `{WORKER}`, and has to have an image")
    template: Mapping[str, Any] = _without_empty(found)
    return template


def _without_empty(value: Any) -> Any:
    """A key with nothing behind it says nothing, to Kubernetes too."""
    if isinstance(value, Mapping):
        return {key: _without_empty(entry) for key, entry in value.items() if entry is not None}
    return [_without_empty(entry) for entry in value] if isinstance(value, list) else value


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value

"""docs/settings.md, made from the settings themselves: `.venv/bin/python -m tests.support.settings_page > docs/settings.md`."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from vidette.settings import ClientSettings
from vidette_api import settings as api
from vidette_controller import settings as controller
from vidette_core import settings as core
from vidette_local.settings import LocalSettings

ROOT = Path(__file__).resolve().parents[2]
SECTIONS: tuple[tuple[str, tuple[type[BaseSettings], ...]], ...] = (
    ("The stack of `make up`", (LocalSettings,)),
    ("The client and the command", (ClientSettings,)),
    ("Uploads, results, listening (api)",
     (api.UploadSettings, api.AnalysisSettings, api.ParallelSettings, api.ResultSettings,
      api.TenantSettings, api.ListenSettings)),
    ("Who runs, and for how long (controller)", (controller.ControllerSettings, controller.SweepSettings)),
    ("Limits on a video (controller, for its workers)", (core.VideoLimitSettings,)),
    ("How workers work (controller, for its workers)", (core.WorkerTuning,)),
    ("Leases (api and controller)", (core.LeaseSettings,)),
    ("PostgreSQL, the store, NATS, logs (api and controller)",
     (core.DatabaseSettings, core.StoreSettings, core.WakeupSettings, core.LogSettings)),
    ("Traces (api and controller, which tells its workers)", (core.TracingSettings,)),
    ("Workers as Kubernetes Jobs (controller)", (controller.KubernetesSettings,)),
    ("Set by whoever installs the services, and by `make up` itself",
     (core.TokenSettings, core.CatalogSettings, controller.LaunchSettings, controller.OperationsSettings)),
)  # fmt: skip
_HEAD = """# Settings

Every setting is an environment variable, read when a process starts. `make up` takes its own and hands the others to its
services; what the stack decides itself (addresses, credentials) it decides. This page is made from the code, and a test holds
it to it.
"""


def page() -> str:
    return "\n".join([_HEAD, *(_section(title, classes) for title, classes in SECTIONS)])


def _section(title: str, classes: tuple[type[BaseSettings], ...]) -> str:
    rows = [row for kind in classes for row in _rows(kind)]
    return "\n".join([f"## {title}", "", "| variable | default | meaning |", "|---|---|---|", *rows, ""])


def _rows(kind: type[BaseSettings]) -> Iterator[str]:
    meanings, prefix = _attribute_docstrings(kind), kind.model_config.get("env_prefix", "")
    for name, field in kind.model_fields.items():
        meaning = " ".join((meanings.get(name) or field.description or "").split()).replace("|", "\\|")
        default = field.get_default(call_default_factory=True, validated_data={})
        yield f"| `{f'{prefix}{name}'.upper()}` | {_default(default)} | {meaning} |"


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "needed"
    if isinstance(value, Path):
        return f"`{value.relative_to(ROOT if value.is_relative_to(ROOT) else Path.cwd())}`"
    if value is None or value == "":
        return "none"
    shown = ",".join(value) if isinstance(value, tuple) else value
    return f"`{shown:,}`".replace(",", " ") if isinstance(value, int) and value >= 10_000 else f"`{shown}`"


def _attribute_docstrings(kind: type[BaseSettings]) -> dict[str, str]:
    """The string literals that stand below fields; where several fields share one, the last carries it."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = str(ast.literal_eval(below.value))
    return found


if __name__ == "__main__":
    print(page(), end="")

"""`vidette up` whose services reach the other parts through proxies: `python -m tests.chaos.proxied up`.

What is changed is named in `CHAOS_WAYS`: for each part and each of its variables, the address that is replaced, and by which. A
part that has run for three seconds counts as healthy, so that a hundred faults do not become a hundred ever longer pauses.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace

from vidette_local import stack, supervisor
from vidette_local.assembly import assemble
from vidette_local.cli import app
from vidette_local.credentials import Credentials
from vidette_local.home import Home
from vidette_local.parts.part import Part
from vidette_local.parts.service import ServicePart
from vidette_local.settings import LocalSettings

WAYS = "CHAOS_WAYS"
HEALTHY_S = 3.0
Ways = Mapping[str, Mapping[str, tuple[str, str]]]


def through(part: Part, ways: Ways) -> Part:
    if not isinstance(part, ServicePart) or part.name not in ways:
        return part
    changed = {name: part.environment[name].replace(old, new) for name, (old, new) in ways[part.name].items()}
    return replace(part, environment={**part.environment, **changed})


def assembled(settings: LocalSettings, home: Home, ports: Mapping[str, int], secrets: Credentials) -> list[Part]:
    ways = json.loads(os.environ[WAYS])
    return [through(part, ways) for part in assemble(settings, home, ports, secrets)]


if __name__ == "__main__":
    stack.assemble = assembled  # type: ignore[attr-defined]  # the stack offers no door for this, and users need none
    supervisor.HEALTHY_SECONDS = HEALTHY_S
    app(prog_name="vidette")

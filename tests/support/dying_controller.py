"""The controller as it is, but killed the moment it has made its first Job: nothing of it is noted anywhere else yet."""

from __future__ import annotations

import asyncio
import os

from vidette_controller.__main__ import main
from vidette_core.adapters.kube.launcher import KubeLauncher
from vidette_core.ports.launcher import LaunchedJob, LaunchSpec

DIED = 9


class DyingLauncher(KubeLauncher):
    async def create(self, spec: LaunchSpec) -> LaunchedJob:
        await super().create(spec)
        os._exit(DIED)


if __name__ == "__main__":
    import vidette_controller.launching

    vidette_controller.launching.KubeLauncher = DyingLauncher  # type: ignore[attr-defined]  # what the module imported, not what it offers
    asyncio.run(main())

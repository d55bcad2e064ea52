"""The contract of every launcher, on real Jobs and real pods."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.kube_rig import KubeRig, kube_rig
from tests.support.launcher_promises import *  # noqa: F403 -- the tests themselves

pytestmark = pytest.mark.own_cluster


@pytest.fixture
async def rig(cluster: Cluster, tmp_path: Path) -> AsyncIterator[KubeRig]:
    async with kube_rig(cluster, tmp_path) as made:
        yield made

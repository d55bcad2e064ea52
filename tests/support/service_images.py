"""The images of our services, as the pods of a cluster may name them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, fields

from tests.support.cluster import TESTCLUSTER, Cluster

_BUILD_S = 1800.0
_OWN = "VIDETTE_TEST_IMAGE_"


@dataclass(frozen=True, slots=True)
class ServiceImages:
    api: str
    controller: str
    frame_worker: str
    models: str
    triton_cpu: str


def service_images(cluster: Cluster) -> ServiceImages:
    """Built from this checkout for a cluster of ours; for the user's own, those that VIDETTE_TEST_IMAGE_… name."""
    if cluster.is_ours:
        built = json.loads(cluster.command("images", "services", limit_s=_BUILD_S))
        return ServiceImages(**{name.replace("-", "_"): reference for name, reference in built.items()})
    names = [f"{_OWN}{field.name.upper()}" for field in fields(ServiceImages)]
    missing = [name for name in names if name not in os.environ]
    assert not missing, f"the cluster can pull only what it is told of: set {', '.join(missing)}"
    return ServiceImages(*(os.environ[name] for name in names))


def give_names(cluster: Cluster, images: ServiceImages, registry: str, tag: str) -> None:
    """The node calls them by these, too, as if somebody had pushed them."""
    for name, reference in asdict(images).items():
        cluster.command("images", "tag", reference, f"{registry}/vidette-{name.replace('_', '-')}:{tag}")


def give_standins(cluster: Cluster, upstream: set[str]) -> None:
    """The node gets servers out of wheels, by the names of these upstream images."""
    told = subprocess.run(
        [sys.executable, "-m", "vidette_testcluster.service_images"],
        env={**os.environ, "PYTHONPATH": str(TESTCLUSTER)},
        capture_output=True,
        text=True,
        timeout=_BUILD_S,
    )
    assert told.returncode == 0, told.stderr
    built = json.loads(told.stdout)
    cluster.command("images", "import", *(image["archive"] for image in built.values()))
    for name in upstream:
        cluster.command("images", "tag", built[name.rpartition("/")[2].partition(":")[0]]["reference"], name)

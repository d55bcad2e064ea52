"""The images of our services, as the pods of a cluster may name them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields

from tests.support.cluster import Cluster

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

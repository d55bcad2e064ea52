"""The one cluster that the tests in this folder share, and the Vidette that is installed in it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.backing import Backing
from tests.support.cluster import Cluster, any_cluster
from tests.support.doors import Doors, doors
from tests.support.installation import Installation, installed
from tests.support.servers import Databases, StoreEndpoint
from tests.support.service_images import ServiceImages, service_images
from vidette.client import Client
from vidette_local.stack_process import StackProcess


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a user's own cluster, what would hurt it, or needs its node to be this machine, is left out."""
    if "VIDETTE_TEST_KUBECONFIG" in os.environ:
        ours = [item for item in items if item.get_closest_marker("own_cluster") is not None]
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with any_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> ServiceImages:
    return service_images(cluster)


@pytest.fixture(scope="session")
def ways_out(cluster: Cluster) -> Iterator[Doors]:
    """From the cluster's pods to servers of this machine."""
    assert cluster.host_address is not None, "VIDETTE_TEST_HOST_ADDRESS is to say where pods reach this machine"
    with doors(cluster.host_address) as opened:
        yield opened


@pytest.fixture(scope="session")
def backing(postgres_databases: Databases, s3: StoreEndpoint, stack: StackProcess) -> Backing:
    """The Triton is the embedded stack's, whose results are compared with the cluster's."""
    catalog = stack.home.path / "models" / "catalog.json"
    return Backing(postgres_databases, s3, str(stack.part("triton")["address"]), catalog)


@pytest.fixture(scope="session")
def vidette(
    cluster: Cluster,
    images: ServiceImages,
    backing: Backing,
    ways_out: Doors,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    with installed(cluster, images, backing, ways_out, tmp_path_factory.mktemp("installation")) as running:
        yield running


@pytest.fixture
def through(vidette: Installation) -> Iterator[Client]:
    """A client of the installation in the cluster; `client` is one of the embedded stack."""
    with Client(vidette.url) as made:
        yield made

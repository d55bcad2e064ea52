"""What docs/operations.md says of backups: the database first, then the store, while videos run; and all of them come back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import boto3
import pytest

from tests.support.backing import Backing
from tests.support.clips import numbered_clip
from tests.support.cluster import Cluster
from tests.support.doors import Doors
from tests.support.installation import Installation, installed
from tests.support.servers import StoreEndpoint
from tests.support.service_images import ServiceImages
from tests.support.stacks import PIPELINE_ID, completed, numbers, progress_between, until
from vidette.client import Client
from vidette.errors import NotFound
from vidette_local.parts.postgres import binary

pytestmark = pytest.mark.own_cluster
SHORT, LONG = 40, 2000


@pytest.fixture
def release(
    cluster: Cluster, images: ServiceImages, backing: Backing, ways_out: Doors, tmp_path: Path
) -> Iterator[Installation]:
    with installed(cluster, images, backing, ways_out, tmp_path) as running:
        yield running


class Bucket:
    """What jobs have in the store, as a tool for backups sees it."""

    def __init__(self, endpoint: StoreEndpoint) -> None:
        store = boto3.resource(
            "s3",
            endpoint_url=endpoint.endpoint,
            region_name=endpoint.region,
            aws_access_key_id=endpoint.access_key,
            aws_secret_access_key=endpoint.secret_key,
        )
        self._bucket = store.Bucket(endpoint.bucket)

    def copy(self, *jobs: UUID) -> dict[str, bytes]:
        found = [entry.key for entry in self._bucket.objects.all() if any(str(job) in entry.key for job in jobs)]
        return {key: self._bucket.Object(key).get()["Body"].read() for key in found}

    def lose(self, *jobs: UUID) -> None:
        for key in self.copy(*jobs):
            self._bucket.Object(key).delete()

    def restore(self, objects: dict[str, bytes]) -> None:
        for key, content in objects.items():
            self._bucket.Object(key).put(Body=content)


def postgres(release: Installation, program: str, *options: str) -> None:
    url = release.seen.secrets["database-url"].replace("+asyncpg", "")
    subprocess.run([binary(program), *options, f"--dbname={url}"], check=True, timeout=60)


def test_videos_that_ran_during_the_backup_go_on_where_it_has_them(
    release: Installation, s3: StoreEndpoint, tmp_path: Path
) -> None:
    bucket, dump = Bucket(s3), str(tmp_path / "vidette.dump")
    with Client(release.url) as client:
        finished = client.submit(numbered_clip(tmp_path, SHORT), PIPELINE_ID)
        before = completed(client, finished)
        running = client.submit(numbered_clip(tmp_path, LONG), PIPELINE_ID)
        until(client, running, progress_between(0.05, 0.9))
        postgres(release, "pg_dump", "--format=custom", f"--file={dump}")
        objects = bucket.copy(finished, running)
        later = client.submit(numbered_clip(tmp_path, SHORT), PIPELINE_ID)
    release.helm.run("uninstall", release.helm.release, "--wait", "--timeout=90s", limit_s=100)
    release.kubectl("delete", "jobs", "--selector", "app.kubernetes.io/managed-by=vidette-controller")
    bucket.lose(finished, running, later)
    bucket.restore(objects)
    postgres(release, "pg_restore", "--clean", "--if-exists", dump)
    release.kubectl("patch", "secret", "vidette", "-p", json.dumps({"stringData": {"token-secret": "new" * 16}}))
    release.helm.install(release.values, limit_s=90)
    address = release.cluster.get("-n", release.namespace, "service", "vidette-api")["spec"]["clusterIP"]
    with Client(f"http://{address}") as client:
        assert list(client.results(finished)) == before
        assert numbers(completed(client, running)) == [(index, index) for index in range(LONG)]
        with pytest.raises(NotFound):
            client.status(later)

"""Whoever looks at a Job with `kubectl` learns what is the matter with it and what to do, without knowing Vidette."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.cluster import Cluster
from tests.support.kube_rig import RELEASE, KubeRig, kube_rig, obedient_pod
from tests.support.launcher_promises import spec, wait_for
from vidette_controller.diagnose import diagnose
from vidette_controller.explaining import Explainer
from vidette_controller.findings import Finding
from vidette_core.adapters.kube.names import ATTEMPT, JOB_ID
from vidette_core.ports.launcher import LaunchedJob, LaunchPhase, LaunchSpec

pytestmark = pytest.mark.own_cluster
LIMIT_S = 60


async def until_diagnosed(rig: KubeRig, name: str, finding: Finding) -> LaunchedJob:
    """As the controller would see it, through the watches."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            for job in await rig.launcher.list():
                diagnosis = diagnose(job, datetime.now(UTC))
                if job.name == name and diagnosis is not None and diagnosis.finding is finding:
                    return job
            await asyncio.sleep(0.1)


async def told_of(rig: KubeRig, job: LaunchedJob) -> str:
    """What `kubectl describe` shows once the controller has explained the job."""
    await Explainer(rig.launcher).explain([job], datetime.now(UTC))
    return await asyncio.to_thread(rig.cluster.kubectl, "-n", rig.namespace, "describe", "job", job.name)


async def test_an_image_that_cannot_be_pulled_is_told_on_the_job(cluster: Cluster, tmp_path: Path) -> None:
    pod = obedient_pod(tmp_path)
    pod["spec"]["containers"][0] |= {"image": "registry.invalid/worker:typo", "imagePullPolicy": "Always"}
    async with kube_rig(cluster, tmp_path, pod) as rig:
        created = await rig.launcher.create(spec())
        shown = await told_of(rig, await until_diagnosed(rig, created.name, Finding.IMAGE_PULL))
    assert "ImagePull" in shown
    assert "registry.invalid/worker:typo" in shown


async def test_a_pod_for_which_no_node_has_a_gpu_is_told_on_the_job(cluster: Cluster, tmp_path: Path) -> None:
    pod = obedient_pod(tmp_path)
    pod["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    async with kube_rig(cluster, tmp_path, pod) as rig:
        created = await rig.launcher.create(spec())
        shown = await told_of(rig, await until_diagnosed(rig, created.name, Finding.NO_GPU))
    assert "NoGpu" in shown


async def test_a_quota_that_is_reached_is_told_on_the_job(cluster: Cluster, tmp_path: Path) -> None:
    async with kube_rig(cluster, tmp_path) as rig:
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"pods": "0"}}}
        metadata = {"name": "no-pods", "namespace": rig.namespace}
        await asyncio.to_thread(cluster.apply, {**quota, "metadata": metadata})
        created = await rig.launcher.create(spec())
        shown = await told_of(rig, await until_diagnosed(rig, created.name, Finding.QUOTA))
    assert "exceeded quota" in shown


async def test_bad_input_and_memory_that_ran_out_are_told_apart(cluster: Cluster, tmp_path: Path) -> None:
    greedy = obedient_pod(tmp_path)
    container = greedy["spec"]["containers"][0]
    container["command"] = [container["command"][0], "-c", "x = bytearray(2**30); print(len(x))"]
    container["resources"] = {"limits": {"memory": "64Mi"}}
    async with kube_rig(cluster, tmp_path, greedy) as rig:
        created = await rig.launcher.create(spec())
        await until_diagnosed(rig, created.name, Finding.OUT_OF_MEMORY)
    other = tmp_path / "other"
    other.mkdir()
    async with kube_rig(cluster, other) as rig:
        created = await rig.launcher.create(spec())
        await rig.end_pod(created.name, 42)
        await wait_for(rig, created.name, LaunchPhase.FAILED)
        await until_diagnosed(rig, created.name, Finding.BAD_INPUT)


async def test_jobs_are_found_by_their_labels_and_a_secret_shows_nothing(cluster: Cluster, tmp_path: Path) -> None:
    async with kube_rig(cluster, tmp_path) as rig:
        job_id = uuid4()
        asked = LaunchSpec(f"vidette-{job_id}-a2", job_id, 2, "hash", {"TOLD": "openly"}, {"VIDETTE_JOB_TOKEN": "hush"})
        await rig.launcher.create(asked)
        found = cluster.get("-n", rig.namespace, "jobs,pods", "-l", f"{JOB_ID}={job_id}")
        assert {item["kind"] for item in found["items"]} >= {"Job"}
        assert all(item["metadata"]["labels"][ATTEMPT] == "2" for item in found["items"])
        assert all(item["metadata"]["labels"]["app.kubernetes.io/instance"] == RELEASE for item in found["items"])
        assert "hush" not in str(found)
        secret = cluster.get("-n", rig.namespace, "secret", asked.name)
        assert secret["metadata"]["ownerReferences"][0]["kind"] == "Job"


async def test_a_job_that_has_ended_is_kept_for_a_while_and_then_goes_by_itself(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with kube_rig(cluster, tmp_path, keep_s=2) as rig:
        created = await rig.launcher.create(spec())
        await rig.end_pod(created.name, 0)
        ended = await wait_for(rig, created.name, LaunchPhase.SUCCEEDED)
        assert not ended.retired, "only once nobody wants it any more"
        await rig.launcher.delete(created.name, created.uid)
        async with asyncio.timeout(LIMIT_S):
            while await rig.launcher.list():
                await asyncio.sleep(0.1)

"""What the API server is given for a job: the installation's template, what the job's life needs over it, and no secret."""

from __future__ import annotations

import base64
import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from vidette_controller.manifests import JobTemplate
from vidette_controller.worker_template import WrongTemplate, read_worker_template
from vidette_core.adapters.kube.names import ATTEMPT, JOB_ID, PIPELINE, RELEASE, SPEC_HASH, STATUS_URL
from vidette_core.ports.launcher import LaunchSpec

JOB = UUID("01234567-89ab-4def-8123-456789abcdef")
POD: dict[str, Any] = {
    "metadata": {"labels": {"team": "video"}},
    "spec": {
        "nodeSelector": {"gpu": "yes"},
        "containers": [
            {"name": "proxy", "image": "proxy:1"},
            {
                "name": "worker",
                "image": "worker:1",
                "env": [{"name": "OMP_NUM_THREADS", "value": "2"}, {"name": "VIDETTE_JOB_ID", "value": "forged"}],
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
            },
        ],
    },
}
TEMPLATE = JobTemplate("prod", POD, 3, 7200, memory_retry="8Gi", public_url="https://video.example/")
SPEC = LaunchSpec(
    name=f"vidette-{JOB}-a2",
    job_id=JOB,
    attempt=2,
    spec_hash="cafe",
    env={"VIDETTE_JOB_ID": str(JOB), "VIDETTE_IN_FLIGHT": "4"},
    secrets={"VIDETTE_JOB_TOKEN": "only-for-workers"},
    pipeline_id="yolo_ocr",
)


def worker_of(manifest: dict[str, Any]) -> dict[str, Any]:
    containers = manifest["spec"]["template"]["spec"]["containers"]
    (worker,) = [container for container in containers if container["name"] == "worker"]
    found: dict[str, Any] = worker
    return found


def test_job_and_pods_carry_the_labels_that_selectors_and_people_use() -> None:
    job = TEMPLATE.job(SPEC)
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        assert labels[RELEASE] == labels["app.kubernetes.io/instance"] == "prod"
        assert (labels[JOB_ID], labels[ATTEMPT], labels[PIPELINE]) == (str(JOB), "2", "yolo_ocr")
    assert job["metadata"]["annotations"] == {
        SPEC_HASH: "cafe",
        STATUS_URL: f"https://video.example/video/status/{JOB}",
    }
    assert job["spec"]["template"]["metadata"]["labels"]["team"] == "video"


def test_the_token_is_in_the_secret_alone_which_belongs_to_the_job() -> None:
    assert "only-for-workers" not in json.dumps(TEMPLATE.job(SPEC))
    secret = TEMPLATE.secret(SPEC, "uid-of-the-job")
    assert base64.b64decode(secret["data"]["VIDETTE_JOB_TOKEN"]) == b"only-for-workers"
    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", SPEC.name, "uid-of-the-job")
    asked = {entry["name"]: entry.get("valueFrom") for entry in worker_of(TEMPLATE.job(SPEC))["env"]}
    assert asked["VIDETTE_JOB_TOKEN"] == {"secretKeyRef": {"name": SPEC.name, "key": "VIDETTE_JOB_TOKEN"}}


def test_the_template_of_the_platform_team_is_kept_but_never_over_what_the_job_needs() -> None:
    job = TEMPLATE.job(SPEC)
    pod = job["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"gpu": "yes"}
    assert [container["name"] for container in pod["containers"]] == ["proxy", "worker"]
    values = {entry["name"]: entry.get("value") for entry in worker_of(job)["env"]}
    assert (values["OMP_NUM_THREADS"], values["VIDETTE_JOB_ID"]) == ("2", str(JOB))
    assert (pod["restartPolicy"], pod["activeDeadlineSeconds"]) == ("Never", 7200)


def test_the_worker_is_fit_for_a_restricted_namespace_and_has_no_way_to_the_cluster() -> None:
    job = TEMPLATE.job(SPEC)
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert worker_of(job)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_an_attempt_after_one_that_ran_out_of_memory_has_more_if_there_is_more() -> None:
    more = worker_of(TEMPLATE.job(replace(SPEC, more_memory=True)))["resources"]
    assert (more["requests"], more["limits"]) == ({"cpu": "1", "memory": "8Gi"}, {"memory": "8Gi"})
    none = replace(TEMPLATE, memory_retry=None)
    assert worker_of(none.job(replace(SPEC, more_memory=True))) == worker_of(none.job(SPEC))


def test_the_launcher_policy_is_that_of_the_exit_codes() -> None:
    spec = TEMPLATE.job(replace(SPEC, workers=4))["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    assert (spec["backoffLimitPerIndex"], spec["podReplacementPolicy"]) == (3, "Failed")
    bad_input, disrupted = spec["podFailurePolicy"]["rules"]
    assert (bad_input["action"], bad_input["onExitCodes"]["values"]) == ("FailJob", [42])
    assert (disrupted["action"], disrupted["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert "ttlSecondsAfterFinished" not in spec, "only once the outcome is in PostgreSQL"


def test_making_a_manifest_changes_nothing_of_the_template() -> None:
    before = deepcopy(POD)
    assert TEMPLATE.job(SPEC) == TEMPLATE.job(SPEC)
    assert before == POD


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spec: [", "is no YAML"),
        ("[]", "spec.containers has to be a list"),
        ("spec: {containers: [worker]}", "spec.containers has to be a list"),
        ("spec: {containers: [{name: other, image: a}]}", "exactly one container has to be named `worker`"),
        ("spec: {containers: [{name: worker}]}", "has to have an image"),
    ],
)
def test_a_template_that_cannot_be_used_says_what_is_wrong_at_the_start(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "worker.yaml"
    path.write_text(text)
    with pytest.raises(WrongTemplate, match=said):
        read_worker_template(path)


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongTemplate, match=r"nowhere\.yaml cannot be read"):
        read_worker_template(tmp_path / "nowhere.yaml")

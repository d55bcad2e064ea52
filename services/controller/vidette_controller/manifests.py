"""From a launch spec to what the API server is given: an Indexed Job, and the Secret with its token. Pure.

The pod comes from the installation's own template, so that node selectors, tolerations, limits or a side volume are the platform
team's business; what the job's life depends on is set here over it, and what a restricted cluster demands is set where the
template is silent. Labels are what selectors use; annotations are what people read.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from vidette_core.adapters.kube.names import (
    ATTEMPT,
    COMPONENT,
    JOB_ID,
    PIPELINE,
    RELEASE,
    SPEC_HASH,
    STATUS_URL,
    WORKER,
)
from vidette_core.domain.worker_api import WorkerExit
from vidette_core.ports.launcher import LaunchSpec

Manifest = dict[str, Any]

_TERMINATION_LOG = "/dev/termination-log"
_TMP = "/tmp"
_LONGEST_LABEL = 63


@dataclass(frozen=True, slots=True)
class JobTemplate:
    """What every Job of this installation has in common. `vidette_core.adapters.kube.launcher.Manifests`.

    Attributes:
        release: tells installations that share a namespace apart; every selector carries it.
        pod: a pod template (`metadata`, `spec`) with a container named `worker`.
        backoff_limit: pods that may fail in one Job before the controller has to decide on another attempt.
        deadline_s: how long one pod may run, from when a node took it; the time that it waits for a node does not count.
        memory_retry: the memory limit, a quantity, of an attempt after one that ran out of memory; None: there is none.
        public_url: where clients reach the api, for the annotation that tells where to ask about the job.
    """

    release: str
    pod: Mapping[str, Any]
    backoff_limit: int
    deadline_s: int
    memory_retry: str | None = None
    public_url: str | None = None

    def job(self, spec: LaunchSpec) -> Manifest:
        return job_manifest(spec, self)

    def secret(self, spec: LaunchSpec, owner_uid: str) -> Manifest:
        return secret_manifest(spec, self.release, owner_uid)


def labels_of(spec: LaunchSpec, release: str) -> dict[str, str]:
    """Those of the Job and of its pods. Values are restricted to what a label may hold."""
    return {
        "app.kubernetes.io/name": "vidette",
        "app.kubernetes.io/component": COMPONENT,
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/managed-by": "vidette-controller",
        RELEASE: release,
        JOB_ID: str(spec.job_id),
        ATTEMPT: str(spec.attempt),
        PIPELINE: spec.pipeline_id[:_LONGEST_LABEL].strip("-_."),
    }


def job_manifest(spec: LaunchSpec, template: JobTemplate) -> Manifest:
    """`batch/v1` Job: Indexed, one index for each worker wanted, its failures counted for each index."""
    labels = labels_of(spec, template.release)
    annotations = {SPEC_HASH: spec.spec_hash}
    if template.public_url is not None:
        annotations[STATUS_URL] = f"{template.public_url.rstrip('/')}/video/status/{spec.job_id}"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": spec.name, "labels": labels, "annotations": annotations},
        "spec": {
            "completionMode": "Indexed",
            "completions": spec.workers,
            "parallelism": spec.workers,
            "backoffLimitPerIndex": template.backoff_limit,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": WORKER,
                            "operator": "In",
                            "values": [int(WorkerExit.BAD_INPUT)],
                        },
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": _pod(spec, template, labels, annotations),
        },
    }


def secret_manifest(spec: LaunchSpec, release: str, owner_uid: str) -> Manifest:
    """`v1` Secret with what the workers must know and readers of pods must not; it goes when its Job goes."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": spec.name,
            "labels": labels_of(spec, release),
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": spec.name, "uid": owner_uid}],
        },
        "immutable": True,
        "type": "Opaque",
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in spec.secrets.items()},
    }


def _pod(
    spec: LaunchSpec, template: JobTemplate, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> Manifest:
    pod = deepcopy(dict(template.pod))
    metadata = pod.setdefault("metadata", {})
    metadata["labels"] = {**metadata.get("labels", {}), **labels}
    metadata["annotations"] = {**metadata.get("annotations", {}), **annotations}
    body = pod.setdefault("spec", {})
    body["restartPolicy"] = "Never"
    # It counts from when a node took the pod, so that pulling its image is in it: the controller's own deadline comes first.
    body["activeDeadlineSeconds"] = template.deadline_s
    # Workers decode hostile media: whoever takes one over finds no credentials of the cluster's in it.
    body["automountServiceAccountToken"] = False
    body["enableServiceLinks"] = False
    body["securityContext"] = {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        **body.get("securityContext", {}),
    }
    (worker,) = [container for container in body["containers"] if container["name"] == WORKER]
    _fill_worker(worker, spec, template)
    if not any(mount["mountPath"] == _TMP for mount in worker.get("volumeMounts", ())):
        worker.setdefault("volumeMounts", []).append({"name": "vidette-tmp", "mountPath": _TMP})
        body.setdefault("volumes", []).append({"name": "vidette-tmp", "emptyDir": {"sizeLimit": "64Mi"}})
    return pod


def _fill_worker(worker: Manifest, spec: LaunchSpec, template: JobTemplate) -> None:
    told = [{"name": name, "value": value} for name, value in sorted(spec.env.items())]
    secret = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": spec.name, "key": name}}} for name in sorted(spec.secrets)
    ]
    pod_name = {"name": "VIDETTE_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    ours: list[Manifest] = [*told, *secret, pod_name, {"name": "VIDETTE_TERMINATION_LOG", "value": _TERMINATION_LOG}]
    names = {variable["name"] for variable in ours}
    worker["env"] = [*(entry for entry in worker.get("env", ()) if entry["name"] not in names), *ours]
    worker["terminationMessagePath"] = _TERMINATION_LOG
    worker["terminationMessagePolicy"] = "FallbackToLogsOnError"
    worker["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        **worker.get("securityContext", {}),
    }
    if spec.more_memory and template.memory_retry is not None:
        resources = worker.setdefault("resources", {})
        for kind in ("requests", "limits"):
            resources[kind] = {**resources.get(kind, {}), "memory": template.memory_retry}

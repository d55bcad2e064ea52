"""Whatever is chosen among the chart's values, an API server would take all that comes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import kubernetes_validate
import pytest

from tests.support.backing import merged
from tests.support.cluster import REPOSITORY, Cluster, CommandFailed
from tests.support.helm import CHART, Manifest, lint, rendered

OLDEST, NEWEST = "1.33", "1.37"
KIND = REPOSITORY / "deploy" / "kind"
EXAMPLES = [*sorted((CHART / "examples").glob("*.yaml")), KIND / "values.yaml"]
LEAST: dict[str, Any] = {
    "existingSecret": "vidette",
    "nats": {"url": "nats://nats.nats:4222"},
    "store": {"endpoint": "http://minio.minio:9000"},
}
PLACED = {
    "podLabels": {"team": "media"},
    "podAnnotations": {"example.com/note": "yes"},
    "nodeSelector": {"pool": "video"},
    "tolerations": [{"key": "video", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "priorityClassName": "high",
    "extraEnv": [{"name": "A", "value": "b"}],
}
WITH_VOLUMES = {
    **PLACED,
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
}
SPREAD = {"topologySpreadConstraints": [{"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]}
CHOICES: dict[str, dict[str, Any]] = {
    "the least": {},
    "every object": {
        "publicUrl": "https://vidette.example.com",
        "labels": {"cost-centre": "7"},
        "image": {"pullSecrets": ["registry"]},
        "api": {"autoscaling": {"enabled": True}, "service": {"type": "LoadBalancer", "annotations": {"a": "b"}}},
        "triton": {
            "replicas": 2,
            "tensorrt": {"enabled": True},
            "engineCache": {"enabled": True, "existingClaim": "engines"},
        },
        "ingress": {"enabled": True, "host": "vidette.example.com", "tls": {"existingSecret": "tls"}},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["vidette.example.com"]},
        "metrics": {name: {"enabled": True} for name in ("serviceMonitor", "rules", "dashboard")},
        "tracing": {"endpoint": "http://otel.observability:4318"},
        "networkPolicy": {
            "monitoring": {"from": [{"namespaceSelector": {}}]},
            "clients": {"from": [{"podSelector": {}}]},
        },
    },
    "everything placed": {
        "api": {**WITH_VOLUMES, **SPREAD},
        "controller": {**WITH_VOLUMES, **SPREAD, "serviceAccount": {"existing": "mine"}},
        "worker": {**WITH_VOLUMES, "runtimeClassName": "gvisor", "memoryRetry": "8Gi"},
        "triton": {
            **WITH_VOLUMES,
            **SPREAD,
            "runtimeClassName": "nvidia",
            "extraArgs": ["--log-verbose=1"],
            "livenessProbe": {"exec": {"command": ["true"]}},
        },
        "migrations": WITH_VOLUMES,
        "models": {"extraEnv": WITH_VOLUMES["extraEnv"], "extraVolumeMounts": WITH_VOLUMES["extraVolumeMounts"]},
    },
    "Secrets of each part": {
        "existingSecret": "",
        "nats": {"existingSecret": "n"},
        **{part: {"existingSecret": part} for part in ("database", "tokens")},
        "store": {
            "endpoint": "https://s3.example.com",
            "workerEndpoint": "https://inside.example.com",
            "existingSecret": "s",
        },
        "triton": {"control": {"existingSecret": "c"}},
    },
    "engines of its own": {"triton": {"tensorrt": {"enabled": True}, "engineCache": {"enabled": True}}},
    "models of a claim": {"models": {"source": "claim", "existingClaim": "models"}},
    "models of the store": {"models": {"source": "s3"}, "triton": {"gpu": {"enabled": False}}},
    "an HPA for Triton": {"triton": {"autoscaling": {"kind": "hpa"}}},
    "KEDA for Triton": {"triton": {"autoscaling": {"kind": "keda"}}},
    "nothing that can be left out": {
        "networkPolicy": {"enabled": False},
        "migrations": {"enabled": False},
        **{part: {"podDisruptionBudget": {"enabled": False}} for part in ("api", "controller", "triton")},
    },
    "names of one's own": {"fullnameOverride": "a" * 40},
}
EVERYTHING = [
    *(pytest.param(values, id=name) for name, values in CHOICES.items()),
    *(pytest.param(path, id=f"example {path.stem}") for path in EXAMPLES),
]


@pytest.fixture(scope="module")
def media(cluster: Cluster) -> Iterator[str]:
    """A namespace that admits restricted pods only, on a cluster that knows the custom resources of others."""
    assert cluster.is_ours, "only a cluster of ours is given resource definitions"
    definitions = sorted(cluster.program.parent.glob("*.yaml"))
    assert len(definitions) > 10
    for file in definitions:
        cluster.kubectl("apply", "--server-side", "-f", str(file))
    name = f"media-{uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def made_of(cluster: Cluster, choice: dict[str, Any] | Path) -> list[Manifest]:
    return rendered(cluster, choice if isinstance(choice, Path) else merged(LEAST, choice))


@pytest.mark.own_cluster
@pytest.mark.parametrize("choice", EVERYTHING)
def test_an_api_server_takes_every_object(cluster: Cluster, media: str, choice: dict[str, Any] | Path) -> None:
    manifests = made_of(cluster, choice)
    for manifest in manifests:
        manifest["metadata"].setdefault("namespace", media)
        for subject in manifest.get("subjects", ()):
            subject["namespace"] = media
    # Not dry: an API server takes no pod without its account.
    cluster.apply(*(manifest for manifest in manifests if manifest["kind"] == "ServiceAccount"))
    whole = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    told = cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=whole)
    assert len(told.splitlines()) == len(manifests)


@pytest.mark.own_cluster
def test_an_api_server_takes_what_stands_beside_vidette_on_kind(cluster: Cluster, media: str) -> None:
    built = cluster.kubectl("kustomize", str(KIND / "backing")).replace("namespace: vidette\n", f"namespace: {media}\n")
    told = cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=built)
    kinds = sorted({line.partition("/")[0] for line in told.splitlines()})
    assert kinds == ["configmap", "deployment.apps", "job.batch", "namespace", "secret", "service", "statefulset.apps"]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("choice", EVERYTHING)
def test_every_object_is_of_the_oldest_and_the_newest_kubernetes(
    cluster: Cluster, choice: dict[str, Any] | Path, version: str
) -> None:
    for manifest in made_of(cluster, choice):
        group = manifest["apiVersion"].partition("/")[0]
        if "." not in group or (group.endswith(".k8s.io") and not group.startswith("gateway.")):
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("choice", EVERYTHING)
def test_no_rendering_holds_a_secret_and_every_pod_is_locked(cluster: Cluster, choice: dict[str, Any] | Path) -> None:
    for manifest in made_of(cluster, choice):
        assert manifest["kind"] != "Secret"
        pod = (
            manifest["spec"] if manifest["kind"] == "Pod" else manifest.get("spec", {}).get("template", {}).get("spec")
        )
        if pod is None:
            continue
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is manifest["metadata"]["name"].endswith(("-controller", "-test"))
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["resources"]["limits"]["memory"]
            assert not container["image"].endswith(":latest")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_helm_finds_nothing_to_say_against_an_example(cluster: Cluster, example: Path) -> None:
    assert "0 chart(s) failed" in lint(cluster, example)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"api": {"replicsa": 3}}, "replicsa"),
        ({"triton": {"gpu": {"count": "two"}}}, "count"),
        ({"settings": {"VIDETTE_MAX_RUNING": "3"}}, "VIDETTE_MAX_RUNING"),
        ({"settings": {"VIDETTE_DATABASE_URL": "postgresql://vidette:secret@db/vidette"}}, "VIDETTE_DATABASE_URL"),
        ({"nats": {"url": "nats://user:password@nats:4222"}}, "nats"),
        ({"store": {"endpoint": ""}}, "store.endpoint"),
        ({"existingSecret": ""}, "existingSecret"),
        ({"triton": {"enabled": False}}, "triton.external.address"),
        ({"models": {"source": "configMap"}}, "models.source"),
        ({"models": {"source": "claim"}}, "models.existingClaim"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
        ({"triton": {"tensorrt": {"enabled": True}, "gpu": {"enabled": False}}}, "triton.tensorrt.enabled"),
        ({"triton": {"engineCache": {"enabled": True}}}, "triton.engineCache.enabled"),
        (
            {"triton": {"replicas": 2, "tensorrt": {"enabled": True}, "engineCache": {"enabled": True}}},
            "triton.engineCache.existingClaim",
        ),
        ({"triton": {"autoscaling": {"kind": "keda", "minReplicas": 9}}}, "triton.autoscaling.maxReplicas"),
        ({"api": {"autoscaling": {"enabled": True, "minReplicas": 99}}}, "api.autoscaling.maxReplicas"),
        ({"networkPolicy": {"store": {"to": []}}}, "networkPolicy"),
        ({"triton": {"enabled": False, "external": {"address": "triton.ai"}}}, "external"),
    ],
)
def test_what_is_wrong_or_missing_is_told_by_its_name(cluster: Cluster, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(CommandFailed, match=told):
        rendered(cluster, merged(LEAST, wrong))


@pytest.mark.parametrize(
    ("values", "part", "ports"),
    [
        ({}, "worker", {8001, 9000, 53}),
        ({"store": {"endpoint": "https://s3.example.com"}}, "worker", {8001, 443, 53}),
        ({"store": {"endpoint": "http://s3.example.com/"}}, "worker", {8001, 80, 53}),
        ({"store": {"workerEndpoint": "https://inside.example.com:9443"}}, "worker", {8001, 9443, 53}),
        ({"networkPolicy": {"store": {"port": 9001}}}, "worker", {8001, 9001, 53}),
        (
            {"triton": {"enabled": False, "external": {"address": "dns:///triton.ai:9901"}}},
            "worker",
            {8001, 9901, 9000, 53},
        ),
        ({"tracing": {"endpoint": "http://otel.observability:4318"}}, "worker", {8001, 9000, 4318, 53}),
        ({"nats": {"url": "nats://nats.nats:4333"}}, "api", {5432, 4333, 9000, 53}),
        ({"nats": {"url": "nats://nats.nats"}}, "api", {5432, 4222, 9000, 53}),
        ({"nats": {"url": "nats://a:4333/,nats://b:4334/"}}, "api", {5432, 4333, 4334, 9000, 53}),
        ({"nats": {"url": "wss://nats.example.com"}}, "api", {5432, 443, 9000, 53}),
        ({"nats": {"existingSecret": "n"}}, "api", {5432, 4222, 9000, 53}),
        ({"store": {"endpoint": "http://[fd00::5]:9005/"}}, "worker", {8001, 9005, 53}),
        ({"tracing": {"endpoint": "http://otel:4318/base"}}, "worker", {8001, 9000, 4318, 53}),
        ({}, "controller", {5432, 4222, 9000, 443, 6443, 53}),
    ],
)
def test_a_policy_opens_the_ports_that_the_addresses_name(
    cluster: Cluster, values: dict[str, Any], part: str, ports: set[int]
) -> None:
    (policy,) = [
        entry
        for entry in made_of(cluster, values)
        if entry["kind"] == "NetworkPolicy" and entry["metadata"]["name"] == f"vidette-{part}"
    ]
    assert {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]} == ports

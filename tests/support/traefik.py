"""A real ingress controller as a pod: Traefik, for Ingresses and for the Gateway API, in a namespace of its own.

It is built from its Go module, as the cluster's own programs are, and runs on an image of nothing with the rights that it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.support.cluster import BUILD_AND_START_S, HOSTROOT, Cluster

PORT = 8000
CLASS = "traefik"
_READY = "--timeout=90s"
_READ: dict[str, list[tuple[list[str], list[str]]]] = {
    "read": [
        ([""], ["services", "secrets", "nodes", "namespaces", "configmaps"]),
        (["discovery.k8s.io"], ["endpointslices"]),
        (["networking.k8s.io"], ["ingresses", "ingressclasses"]),
        (
            ["gateway.networking.k8s.io"],
            ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants", "backendtlspolicies"],
        ),
    ],
    "update": [
        (["networking.k8s.io"], ["ingresses/status"]),
        (
            ["gateway.networking.k8s.io"],
            [
                f"{kind}/status"
                for kind in ("gatewayclasses", "gateways", "httproutes", "grpcroutes", "backendtlspolicies")
            ],
        ),
    ],
}
_VERBS = {"read": ["get", "list", "watch"], "update": ["update", "patch"]}


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where clients come in, and how an Ingress or a HTTPRoute asks for it."""

    url: str
    namespace: str
    gateway: str


@contextmanager
def traefik(cluster: Cluster, *options: str) -> Iterator[Entrance]:
    """Running and ready; `options` are Traefik's own. Only on a cluster of ours."""
    for file in sorted(cluster.program.parent.glob("gateway.networking.k8s.io_*.yaml")):
        cluster.kubectl("apply", "--server-side", "-f", str(file))
    name = f"ingress-{uuid4().hex[:8]}"
    cluster.apply(*_objects(cluster, name, options))
    try:
        cluster.kubectl("-n", name, "rollout", "status", "deployment/traefik", _READY, limit_s=100)
        cluster.kubectl("-n", name, "wait", "--for=condition=Programmed", "gateway/public", _READY, limit_s=100)
        address = cluster.get("-n", name, "service", "traefik")["spec"]["clusterIP"]
        yield Entrance(f"http://{address}:{PORT}", name, "public")
    finally:
        shared = [f"gatewayclass/{CLASS}", f"ingressclass/{CLASS}"]
        cluster.kubectl("delete", "--ignore-not-found", f"clusterrolebinding/{name}", f"clusterrole/{name}", *shared)
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def _objects(cluster: Cluster, name: str, options: tuple[str, ...]) -> list[dict[str, Any]]:
    rules = [
        {"apiGroups": groups, "resources": resources, "verbs": _VERBS[what]}
        for what, entries in _READ.items()
        for groups, resources in entries
    ]
    rbac = "rbac.authorization.k8s.io"
    role = {"apiGroup": rbac, "kind": "ClusterRole", "name": name}
    account = {"kind": "ServiceAccount", "name": "traefik", "namespace": name}
    listener = {"name": "web", "protocol": "HTTP", "port": PORT, "allowedRoutes": {"namespaces": {"from": "All"}}}
    gateway_api = "gateway.networking.k8s.io/v1"
    port = {"name": "web", "port": PORT, "targetPort": PORT}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        {"apiVersion": "v1", **_object("ServiceAccount", "traefik", name)},
        {"apiVersion": f"{rbac}/v1", **_object("ClusterRole", name), "rules": rules},
        {"apiVersion": f"{rbac}/v1", **_object("ClusterRoleBinding", name), "roleRef": role, "subjects": [account]},
        {
            "apiVersion": "networking.k8s.io/v1",
            **_object("IngressClass", CLASS),
            "spec": {"controller": "traefik.io/ingress-controller"},
        },
        {
            "apiVersion": gateway_api,
            **_object("GatewayClass", CLASS),
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        },
        {
            "apiVersion": gateway_api,
            **_object("Gateway", "public", name),
            "spec": {"gatewayClassName": CLASS, "listeners": [listener]},
        },
        {
            "apiVersion": "v1",
            **_object("Service", "traefik", name),
            "spec": {"selector": {"app": "traefik"}, "ports": [port]},
        },
        {"apiVersion": "apps/v1", **_object("Deployment", "traefik", name), "spec": _deployment(cluster, options)},
    ]


def _deployment(cluster: Cluster, options: tuple[str, ...]) -> dict[str, Any]:
    folder = cluster.command("ingress", limit_s=BUILD_AND_START_S).strip()
    container = {
        "name": "traefik",
        "image": HOSTROOT,
        "imagePullPolicy": "Never",
        "command": [
            "/programs/traefik",
            f"--entryPoints.web.address=:{PORT}",
            "--ping",
            "--ping.entryPoint=web",
            "--providers.kubernetesIngress",
            "--providers.kubernetesGateway",
            "--global.checkNewVersion=false",
            "--global.sendAnonymousUsage=false",
            *options,
        ],
        "readinessProbe": {"httpGet": {"path": "/ping", "port": PORT}, "periodSeconds": 1},
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "programs", "mountPath": "/programs", "readOnly": True}],
    }
    pod = {
        "serviceAccountName": "traefik",
        "securityContext": {"runAsUser": 65532, "runAsGroup": 65532, "runAsNonRoot": True},
        "containers": [container],
        "volumes": [{"name": "programs", "hostPath": {"path": folder, "type": "Directory"}}],
    }
    labels = {"app": "traefik"}
    return {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}


def _object(kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {"kind": kind, "metadata": metadata}

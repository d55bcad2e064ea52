"""The control plane: etcd, API server, controllers and scheduler, as one would run them, minus what a test can do without."""

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path

from vidette_testcluster.network import Network
from vidette_testcluster.pki import API_PORT, kubeconfig_of
from vidette_testcluster.state import Folder, Part

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
ETCD = "http://127.0.0.1:2379"
ETCD_PEER = "http://127.0.0.1:2380"
SHORT_BACKOFF = "500ms"  # before the first replacement of a failed pod, doubling; Kubernetes itself waits 10 s
BACKOFF_VARIABLE = "VIDETTE_TESTCLUSTER_JOB_BACKOFF"  # read by kube/main.go


def parts(folder: Folder, programs: Path, network: Network, real_backoff: bool) -> list[Part]:
    """In the order in which they are started."""
    backoff = () if real_backoff else ((BACKOFF_VARIABLE, SHORT_BACKOFF),)
    return [
        Part("etcd", _etcd(folder, programs)),
        Part("kube-apiserver", _api_server(folder, programs, network)),
        Part("kube-controller-manager", _controllers(folder, programs), backoff),
        Part("kube-scheduler", _scheduler(folder, programs)),
    ]


def _etcd(folder: Folder, programs: Path) -> tuple[str, ...]:
    return (
        str(programs / "etcd"),
        f"--data-dir={folder.path / 'etcd'}",
        "--unsafe-no-fsync",  # a test cluster is thrown away, and disks of test machines are slow
        "--log-level=warn",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        f"--listen-peer-urls={ETCD_PEER}",
        f"--initial-advertise-peer-urls={ETCD_PEER}",
        f"--initial-cluster=default={ETCD_PEER}",
    )


def _api_server(folder: Folder, programs: Path, network: Network) -> tuple[str, ...]:
    pki = folder.pki
    return (
        str(programs / "kube-apiserver"),
        f"--etcd-servers={ETCD}",
        f"--secure-port={API_PORT}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={network.node_address}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--token-auth-file={pki / 'tokens.csv'}",
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        "--kubelet-preferred-address-types=InternalIP",  # no DNS here knows the node's name
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
        f"--service-cluster-ip-range={network.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
    )


def _controllers(folder: Folder, programs: Path) -> tuple[str, ...]:
    return (
        str(programs / "kube-controller-manager"),
        f"--kubeconfig={kubeconfig_of(folder, 'kube-controller-manager')}",
        "--leader-elect=false",  # there is one, and a restart must not wait for the lease of its own predecessor
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={folder.pki / 'service-accounts.key'}",
        f"--root-ca-file={folder.pki / 'ca.crt'}",
        "--bind-address=127.0.0.1",
        "--profiling=false",
    )


def _scheduler(folder: Folder, programs: Path) -> tuple[str, ...]:
    return (
        str(programs / "kube-scheduler"),
        f"--kubeconfig={kubeconfig_of(folder, 'kube-scheduler')}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--profiling=false",
    )


def answers(folder: Folder, path: str) -> bool:
    """Whether the API server answers a GET of this path with success, asked from the host as the administrator."""
    config = json.loads(folder.kubeconfig.read_text())
    server, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
    request = urllib.request.Request(f"{server}{path}", headers={"Authorization": f"Bearer {token}"})
    trust = ssl.create_default_context(cafile=str(folder.pki / "ca.crt"))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),  # a proxy of the machine cannot know this network
        urllib.request.HTTPSHandler(context=trust),
    )
    try:
        with opener.open(request, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False

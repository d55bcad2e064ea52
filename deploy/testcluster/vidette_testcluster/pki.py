"""Who is who in the cluster: an authority of its own, certificates, tokens and kubeconfigs, made anew for every cluster.

Certificates come from the `openssl` program, for Python's standard library cannot make any. People and programs identify
themselves by tokens from a file, which is the least that the API server accepts; kubelet demands a certificate of the API server.
"""

import base64
import json
import secrets
from pathlib import Path

from vidette_testcluster.network import Network
from vidette_testcluster.processes import run
from vidette_testcluster.state import Folder

NODE = "vidette-node"
API_PORT = 6443
DAYS = "30"

# Kubeconfig's name, user, groups. The names are Kubernetes' own: its built-in roles are bound to them.
USERS = (
    ("admin", "admin", ("system:masters",)),
    ("kube-controller-manager", "system:kube-controller-manager", ()),
    ("kube-scheduler", "system:kube-scheduler", ()),
    ("kube-proxy", "system:kube-proxy", ()),
    ("kubelet", f"system:node:{NODE}", ("system:nodes",)),
)


def kubeconfig_of(folder: Folder, user: str) -> Path:
    return folder.kubeconfig if user == "admin" else folder.pki / f"{user}.kubeconfig"


def create(folder: Folder, network: Network) -> None:
    folder.pki.mkdir(mode=0o700)
    _authority(folder.pki)
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names.append("kubernetes.default.svc.cluster.local")
    addresses = ["127.0.0.1", str(network.node_address), str(network.api_service)]
    alternatives = ",".join([f"DNS:{name}" for name in names] + [f"IP:{address}" for address in addresses])
    _certificate(folder.pki, "apiserver", "/CN=kube-apiserver", f"subjectAltName={alternatives}", "serverAuth")
    _certificate(folder.pki, "kubelet-client", "/O=system:masters/CN=kube-apiserver", "", "clientAuth")
    _key(folder.pki / "service-accounts.key")
    _openssl("ec", "-in", folder.pki / "service-accounts.key", "-pubout", "-out", folder.pki / "service-accounts.pub")
    _users(folder, network)


def _openssl(*arguments: str | Path) -> None:
    run(["openssl", *map(str, arguments)], "making the cluster's certificates")


def _key(file: Path) -> None:
    file.touch(mode=0o600)
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", file)


def _authority(pki: Path) -> None:
    _key(pki / "ca.key")
    usage = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    subject = ["-subj", "/CN=vidette-testcluster"]
    _openssl("req", "-x509", "-new", "-key", pki / "ca.key", *subject, "-days", DAYS, "-out", pki / "ca.crt", *usage)


def _certificate(pki: Path, name: str, subject: str, alternatives: str, usage: str) -> None:
    key, request, extensions = pki / f"{name}.key", pki / f"{name}.csr", pki / f"{name}.ext"
    _key(key)
    extensions.write_text(f"{alternatives}\nextendedKeyUsage={usage}\n")
    _openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
    signing: list[str | Path] = [
        "-CA",
        pki / "ca.crt",
        "-CAkey",
        pki / "ca.key",
        "-set_serial",
        f"0x{secrets.token_hex(8)}",
        "-days",
        DAYS,
    ]
    _openssl("x509", "-req", "-in", request, *signing, "-extfile", extensions, "-out", pki / f"{name}.crt")


def _users(folder: Folder, network: Network) -> None:
    tokens = folder.pki / "tokens.csv"
    tokens.touch(mode=0o600)
    lines = []
    for name, user, groups in USERS:
        token = secrets.token_hex(24)
        lines.append(",".join([token, user, user, f'"{",".join(groups)}"']))
        _kubeconfig(kubeconfig_of(folder, name), folder.pki / "ca.crt", network, token)
    tokens.write_text("\n".join(lines) + "\n")


def _kubeconfig(file: Path, authority: Path, network: Network, token: str) -> None:
    """One address serves everybody: the node's is reached from the host, from the node and from pods. (JSON is YAML.)"""
    cluster = {
        "server": f"https://{network.node_address}:{API_PORT}",
        "certificate-authority-data": base64.b64encode(authority.read_bytes()).decode(),
    }
    context = {"cluster": "vidette-testcluster", "user": "user"}
    file.touch(mode=0o600)
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "vidette-testcluster", "cluster": cluster}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "vidette-testcluster", "context": context}],
        "current-context": "vidette-testcluster",
    }
    file.write_text(json.dumps(content, indent=1))

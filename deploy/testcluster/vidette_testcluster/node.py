"""The node: containerd, kubelet, kube-proxy and a DNS server, without systemd and without touching the host's own containerd.

All that containerd and kubelet mount is mounted in one private mount namespace and goes with it. The folders that they insist on
outside of ours are covered there by folders of ours.
"""

import json
import shlex
from pathlib import Path

from vidette_testcluster.images import PAUSE
from vidette_testcluster.network import Network
from vidette_testcluster.packages import CNI_PLUGINS
from vidette_testcluster.pki import NODE, kubeconfig_of
from vidette_testcluster.state import Folder, Part

# Named in the sources of containerd (the shims' sockets), of libcni (its cache) and of kubelet (links to logs, and the sockets of
# device plugins, which it deletes when it starts: another kubelet's too), with no setting.
COVERED = ("/run/containerd", "/var/lib/cni", "/var/log/containers", "/var/lib/kubelet")
NAMES = ("containerd", "coredns", "kubelet", "kube-proxy")
MOUNTS = "mounts"  # the part that holds the mount namespace


def socket(folder: Folder) -> Path:
    return folder.path / "containerd" / "containerd.sock"


def mounted(folder: Folder) -> Path:
    """A file that appears when the mount namespace is complete."""
    return folder.path / "node" / "mounted"


def parts(folder: Folder, programs: Path, network: Network) -> list[Part]:
    """In the order in which they are started; the mount namespace has to be complete before the second."""
    return [
        Part(MOUNTS, _mounts(folder)),
        Part("containerd", ("containerd", "--config", str(folder.path / "containerd" / "config.toml")), on_node=True),
        Part("coredns", (str(programs / "coredns"), "-conf", str(folder.path / "node" / "Corefile"))),
        Part("kubelet", _kubelet(folder, programs, network), on_node=True),
        Part("kube-proxy", _proxy(folder, programs, network)),
    ]


def _mounts(folder: Folder) -> tuple[str, ...]:
    steps = ["mount --make-rshared /"]  # inside: what kubelet mounts has to appear in containers
    for number, covered in enumerate(COVERED):
        ours = folder.path / "node" / f"covered-{number}"
        steps += [f"mkdir -p {covered} {shlex.quote(str(ours))}", f"mount --bind {shlex.quote(str(ours))} {covered}"]
    steps += [f"touch {shlex.quote(str(mounted(folder)))}", "exec sleep infinity"]
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", " && ".join(steps))


def _kubelet(folder: Folder, programs: Path, network: Network) -> tuple[str, ...]:
    return (
        str(programs / "kubelet"),
        f"--config={folder.path / 'node' / 'kubelet.json'}",
        f"--kubeconfig={kubeconfig_of(folder, 'kubelet')}",
        f"--hostname-override={NODE}",
        f"--node-ip={network.node_address}",
        f"--root-dir={folder.path / 'kubelet'}",
        f"--cert-dir={folder.path / 'kubelet' / 'pki'}",
    )


def _proxy(folder: Folder, programs: Path, network: Network) -> tuple[str, ...]:
    return (
        str(programs / "kube-proxy"),
        f"--kubeconfig={kubeconfig_of(folder, 'kube-proxy')}",
        f"--hostname-override={NODE}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={network.pods}",
        # Zero leaves the kernel's values alone: some of them are the whole machine's, not the namespace's.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    )


def configure(folder: Folder, network: Network) -> None:
    """Write every configuration file of the node."""
    for name in ("containerd", "node", "kubelet", "cni"):
        (folder.path / name).mkdir(exist_ok=True)
    node = folder.path / "node"
    (folder.path / "containerd" / "config.toml").write_text(_containerd(folder))
    (folder.path / "cni" / "10-pods.conflist").write_text(json.dumps(_pod_network(folder, network)))
    (node / "kubelet.json").write_text(json.dumps(_kubelet_configuration(folder, network), indent=1))
    (node / "resolv.conf").write_text("")  # pods resolve the cluster's names and nothing else
    (node / "Corefile").write_text(_corefile(folder, network))


def _containerd(folder: Folder) -> str:
    home = folder.path / "containerd"
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{home}/root"
state = "{home}/state"
disabled_plugins = ["io.containerd.internal.v1.restart", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
address = "{socket(folder)}"
[plugins."io.containerd.internal.v1.opt"]
path = "{home}/opt"
[{cri}]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
disable_apparmor = true
enable_unprivileged_ports = true
netns_mounts_under_state_dir = true
[{cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
[{cri}.cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{folder.path}/cni"
"""


def _pod_network(folder: Folder, network: Network) -> dict[str, object]:
    """Pods hang on links of their own: a bridge would need the module br_netfilter, which small kernels lack."""
    addresses = {
        "type": "host-local",
        "dataDir": str(folder.path / "cni" / "addresses"),
        "ranges": [[{"subnet": str(network.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    links = {"type": "ptp", "ipMasq": False, "mtu": 1500, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [links]}


def _kubelet_configuration(folder: Folder, network: Network) -> dict[str, object]:
    kubelet = folder.path / "kubelet"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(folder.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{socket(folder)}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{folder.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,  # a container of the machine may not be allowed to lower it
        "makeIPTablesUtilChains": False,
        "clusterDomain": "cluster.local",
        "clusterDNS": [str(network.node_address)],
        "resolvConf": str(folder.path / "node" / "resolv.conf"),
        "podLogsDir": str(folder.path / "pod-logs"),
        "volumePluginDir": str(kubelet / "volume-plugins"),
        "imageGCHighThresholdPercent": 100,  # never throw away an image that no registry could give back
        "imageGCLowThresholdPercent": 99,
        # A test machine's disk may be nearly full; what a test of eviction needs, it fills itself.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "5s",
    }


def _corefile(folder: Folder, network: Network) -> str:
    """Names of Services and pods; any other does not exist, and that is said at once: there is no server to ask."""
    return f"""cluster.local:53 in-addr.arpa:53 {{
    bind {network.node_address}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {folder.kubeconfig}
        pods insecure
    }}
    cache 5
}}
.:53 {{
    bind {network.node_address}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""

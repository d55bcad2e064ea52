"""What the cluster needs of the distribution: a container runtime and tools for networks, which nobody should build anew."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from vidette_testcluster.errors import ClusterError
from vidette_testcluster.processes import surroundings

CNI_PLUGINS = Path("/usr/lib/cni")  # where Debian's package puts them

# What is looked for, and Debian's package that has it.
FOR_CONTROL_PLANE = {"ip": "iproute2", "nsenter": "util-linux", "openssl": "openssl"}
FOR_NODE = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "nft": "nftables",  # for tests that enforce network policies: the network plugin does not
    "mount": "mount",
    str(CNI_PLUGINS / "ptp"): "containernetworking-plugins",
    str(CNI_PLUGINS / "host-local"): "containernetworking-plugins",
    str(CNI_PLUGINS / "loopback"): "containernetworking-plugins",
}
FOR_IMAGES = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}
INSTALL_LIMIT = 900.0


def missing(wanted: Iterable[str]) -> list[str]:
    """Those of the programs (names on PATH, or absolute paths) that are not here."""
    path = surroundings()["PATH"]
    return [program for program in wanted if shutil.which(program, path=path) is None]


def ensure(control_plane_only: bool) -> None:
    """Install what is missing. Raises ClusterError with what to install when that is not ours to do or fails."""
    _ensure(FOR_CONTROL_PLANE if control_plane_only else FOR_CONTROL_PLANE | FOR_NODE)


def ensure_for_images() -> None:
    """The same for building the images of services."""
    _ensure(FOR_IMAGES)


def _ensure(wanted: Mapping[str, str]) -> None:
    lacking = missing(wanted)
    if not lacking:
        return
    packages = sorted({wanted[program] for program in lacking})
    remedy = f"install them: apt-get install {' '.join(packages)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(f"these programs are missing: {', '.join(lacking)}; {remedy} (Debian's names)")
    _install(packages, remedy)
    if still := missing(wanted):
        raise ClusterError(f"after installing {' '.join(packages)} there is still no {', '.join(still)} on PATH")


def _install(packages: list[str], remedy: str) -> None:
    install = ["apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", *packages]
    said = ""
    # A machine that was never updated knows no packages: the lists are fetched only then, for it takes a while.
    for command in (install, ["apt-get", "update"], install):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_LIMIT,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        said = done.stdout
        if command is install and done.returncode == 0:
            return
    raise ClusterError(f"apt-get could not install {' '.join(packages)}; {remedy}. It said:\n{said.strip()}")

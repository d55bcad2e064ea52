"""The two images that the node cannot do without, made from nothing, and the way other images come to the node.

`pause` is the container that every pod has besides its own. `hostroot` has no file at all, only symbolic links: a pod that mounts
the machine's /usr (and where else Python and the code lie) read-only over it runs what the machine runs, and no image has to be
built for a test. Both are the same bytes every time.
"""

import hashlib
import io
import json
import tarfile
from pathlib import Path

PAUSE = "registry.vidette.test/pause:1"
HOSTROOT = "registry.vidette.test/hostroot:1"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# A system whose /usr is merged looks like this; without a folder for each mount, the runtime makes it.
HOSTROOT_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
HOSTROOT_FOLDERS = ("usr", "etc", "proc", "sys", "dev", "root", "tmp")


def _entry(name: str, kind: bytes, mode: int, link: str = "", size: int = 0) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname, entry.size = kind, mode, link, size
    return entry


def hostroot_layer() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as layer:
        for name in HOSTROOT_FOLDERS:
            layer.addfile(_entry(name, tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755))
        for name, target in HOSTROOT_LINKS.items():
            layer.addfile(_entry(name, tarfile.SYMTYPE, 0o777, link=target))
    return buffer.getvalue()


def pause_layer(program: Path) -> bytes:
    content = program.read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as layer:
        layer.addfile(_entry("pause", tarfile.REGTYPE, 0o755, size=len(content)), io.BytesIO(content))
    return buffer.getvalue()


def archive(name: str, layer: bytes, command: list[str], machine: str) -> bytes:
    """A file for `images import`, as `docker save` would write it. `machine` is what uname calls the processor."""
    difference = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Cmd": command, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{difference}"]},
            "history": [{"created": "1970-01-01T00:00:00Z"}],
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{difference}/layer.tar"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": [layer_name]}]).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as whole:
        for file, content in ((config_name, config), (layer_name, layer), ("manifest.json", manifest)):
            whole.addfile(_entry(file, tarfile.REGTYPE, 0o644, size=len(content)), io.BytesIO(content))
    return buffer.getvalue()


def write_own(folder: Path, pause: Path, machine: str) -> list[Path]:
    """Both images as files to import."""
    images = {
        "pause.tar": archive(PAUSE, pause_layer(pause), ["/pause"], machine),
        "hostroot.tar": archive(HOSTROOT, hostroot_layer(), [], machine),
    }
    files = []
    for name, content in images.items():
        (folder / name).write_bytes(content)
        files.append(folder / name)
    return files

"""Brings a cluster up and tells how it stands: the order of things, and nothing else."""

import os
import platform
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidette_testcluster import build, cgroups, control_plane, images, network, node, packages, pki
from vidette_testcluster.errors import ClusterError
from vidette_testcluster.processes import end, is_alive, run, spawn, wait_until
from vidette_testcluster.state import Folder, Part, Record
from vidette_testcluster.teardown import clear, must_be_root, start_guard

READY_LIMIT = 180.0  # for one step; a machine that builds beside us is slow
IMPORT_LIMIT = 300.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What `up` was asked for. `arguments`: further flags by part. `until`: the process whose end is the cluster's."""

    control_plane_only: bool = False
    real_backoff: bool = False
    arguments: tuple[tuple[str, str], ...] = ()
    until: int | None = None


def up(folder: Folder, wishes: Wishes) -> Record:
    """Bring a cluster up; one that stands as wished is left alone, any other in the same folder goes first.

    What came up stays for inspection when something fails: `down` clears it away.
    """
    must_be_root()
    packages.ensure(wishes.control_plane_only)
    programs = build.ensure()
    with folder.lock():
        standing = folder.load()
        if standing and _is_whole(standing) and _is_as_wished(folder, standing, programs, wishes):
            return standing
        clear(folder, standing)
        if standing:
            end(standing.guard)
        made = _found(folder, programs, wishes)
        made = _start_control_plane(folder, made, _control_plane(folder, made, programs, wishes))
        if not wishes.control_plane_only:
            made = _start_node(folder, made, _node(folder, made, programs, wishes))
        return made


def _control_plane(folder: Folder, record: Record, programs: Path, wishes: Wishes) -> list[Part]:
    parts = control_plane.parts(folder, programs, network.Network(record.slot), wishes.real_backoff)
    return [_with_arguments(part, wishes) for part in parts]


def _node(folder: Folder, record: Record, programs: Path, wishes: Wishes) -> list[Part]:
    return [_with_arguments(part, wishes) for part in node.parts(folder, programs, network.Network(record.slot))]


def _is_as_wished(folder: Folder, record: Record, programs: Path, wishes: Wishes) -> bool:
    """Whether a new cluster would be started with the same commands as this one was, and end as late."""
    if wishes.until is not None or record.guard is not None:
        return False
    wished = _control_plane(folder, record, programs, wishes)
    if not wishes.control_plane_only:
        wished += _node(folder, record, programs, wishes)
    return [replace(part, process=None) for part in record.parts.values()] == wished


def _is_whole(record: Record) -> bool:
    return all(is_alive(part.process) for part in record.parts.values())


def _found(folder: Folder, programs: Path, wishes: Wishes) -> Record:
    """Everything that programs need before the first of them starts."""
    folder.mark.touch()
    folder.logs.mkdir()
    watcher = None if wishes.until is None else start_guard(folder, wishes.until)
    cgroups.create(folder.name)
    net = network.create(folder.name, folder.link)
    only = wishes.control_plane_only
    record = Record(slot=net.slot, programs=str(programs), control_plane_only=only, guard=watcher)
    folder.save(record)
    pki.create(folder, net)
    return record


def _start_control_plane(folder: Folder, record: Record, parts: list[Part]) -> Record:
    for part in parts:
        record = launch(folder, record, part)
    names = [part.name for part in parts]
    _wait(folder, record, names[:2], "the API server is ready", "/readyz")
    _wait(folder, record, names, "the controllers work", "/api/v1/namespaces/default/serviceaccounts/default")
    return record


def _start_node(folder: Folder, record: Record, parts: list[Part]) -> Record:
    node.configure(folder, network.Network(record.slot))
    holder, containerd, *rest = parts
    record = launch(folder, record, holder)
    wait_until("the node's mounts are made", node.mounted(folder).exists, 20, [record.parts[holder.name]], folder.log)
    record = launch(folder, record, containerd)
    wait_until(
        "containerd answers", lambda: _containerd_answers(folder, record), READY_LIMIT,
        [record.parts[containerd.name]], folder.log,
    )  # fmt: skip
    own = images.write_own(folder.path / "node", Path(record.programs, "pause"), platform.machine())
    import_images(folder, record, own)
    for part in rest:
        record = launch(folder, record, part)
    wait_until(
        "the node is Ready", lambda: _node_is_ready(folder, record), READY_LIMIT,
        list(record.parts.values()), folder.log,
    )  # fmt: skip
    return record


def _with_arguments(part: Part, wishes: Wishes) -> Part:
    return replace(part, command=part.command + tuple(flag for name, flag in wishes.arguments if name == part.name))


def _wait(folder: Folder, record: Record, names: Sequence[str], what: str, path: str) -> None:
    parts = [record.parts[name] for name in names]
    wait_until(what, lambda: control_plane.answers(folder, path), READY_LIMIT, parts, folder.log)


def launch(folder: Folder, record: Record, part: Part) -> Record:
    """Start a part and write down which process it is."""
    inside = network.inside(folder.name)
    if part.on_node:
        inside = [*inside[:-1], f"--mount=/proc/{_node_process(record)}/ns/mnt", "--"]
    process = spawn(
        [*inside, *part.command], folder.log(part.name), cgroups.joining_files(folder.name), part.environment
    )
    record = replace(record, parts={**record.parts, part.name: replace(part, process=process)})
    folder.save(record)
    return record


def _node_process(record: Record) -> int:
    """Any process in the node's mount namespace; the one that holds it may have been killed."""
    for part in record.parts.values():
        if (part.on_node or part.name == node.MOUNTS) and part.process and is_alive(part.process):
            return part.process.pid
    raise ClusterError("this cluster has no running node: take it down and bring it up again")


def containerd_command(folder: Folder, record: Record, *arguments: str) -> list[str]:
    mounts = f"--mount=/proc/{_node_process(record)}/ns/mnt"
    return ["nsenter", mounts, "--", "ctr", "--address", str(node.socket(folder)), "--namespace", "k8s.io", *arguments]


def _containerd_answers(folder: Folder, record: Record) -> bool:
    try:
        run(containerd_command(folder, record, "version"), "asking containerd for its version", limit=10)
    except ClusterError:
        return False
    return True


def _node_is_ready(folder: Folder, record: Record) -> bool:
    condition = '{.status.conditions[?(@.type=="Ready")].status}'
    try:
        return (
            run(kubectl(folder, record, "get", "node", pki.NODE, f"-o=jsonpath={condition}"), "asking for it") == "True"
        )
    except ClusterError:
        return False  # there is no such node until kubelet has registered it


def kubectl(folder: Folder, record: Record, *arguments: str) -> list[str]:
    return [str(Path(record.programs, "kubectl")), f"--kubeconfig={folder.kubeconfig}", *arguments]


def import_images(folder: Folder, record: Record, files: Sequence[Path]) -> None:
    """Make the images in these archives (of docker or OCI) known to the node. Raises ClusterError in containerd's words."""
    for file in files:
        if not file.is_file():
            raise ClusterError(f"there is no file {file} to import")
        command = containerd_command(folder, record, "images", "import", str(file.resolve()))
        run(command, f"importing {file.name}", limit=IMPORT_LIMIT)


def tag_image(folder: Folder, record: Record, image: str, name: str) -> None:
    run(containerd_command(folder, record, "images", "tag", "--force", image, name), f"naming {image} {name}")


def known_images(folder: Folder, record: Record) -> set[str]:
    """What the node calls the images that it has."""
    return set(run(containerd_command(folder, record, "images", "list", "--quiet"), "asking for the images").split())


def standing(folder: Folder) -> Record:
    record = folder.load()
    if record is None:
        raise ClusterError(f"there is no cluster in {folder.path}: bring one up")
    return record


def stop_part(folder: Folder, name: str, number: signal.Signals) -> None:
    """End one program and leave the others to cope."""
    with folder.lock():
        end(_part(standing(folder), name).process, number)


def start_part(folder: Folder, name: str, real_backoff: bool | None) -> None:
    """Start a program that was ended, as it was started before; `real_backoff` changes the job controller's pause."""
    with folder.lock():
        record = standing(folder)
        part = _part(record, name)
        if real_backoff is not None:
            pause = () if real_backoff else ((control_plane.BACKOFF_VARIABLE, control_plane.SHORT_BACKOFF),)
            part = replace(part, environment=pause)
        if not is_alive(part.process):
            launch(folder, record, part)


def _part(record: Record, name: str) -> Part:
    if name not in record.parts:
        raise ClusterError(f"this cluster has no part {name}: it has {', '.join(record.parts)}")
    return record.parts[name]


def status(folder: Folder) -> dict[str, Any]:
    """The cluster as JSON; the meaning of the addresses is told where the package is."""
    record = standing(folder)
    net = network.Network(record.slot)
    return {
        "name": folder.name,
        "whole": _is_whole(record),
        "kubeconfig": str(folder.kubeconfig),
        "kubectl": str(Path(record.programs, "kubectl")),
        "host_address": str(net.host_address),
        "node_address": str(net.node_address),
        "pods": str(net.pods),
        "services": str(net.services),
        "node": None if record.control_plane_only else pki.NODE,
        "inside": network.inside(folder.name),
        "logs": str(folder.logs),
        "memory_bytes": cgroups.memory(folder.name),
        "parts": {
            name: {"pid": part.process.pid if part.process else None, "alive": is_alive(part.process)}
            for name, part in record.parts.items()
        },
    }


def execute(folder: Folder, command: Sequence[str]) -> None:
    """Become a command inside the cluster's network namespace and cgroup; `down` ends it with the rest. Never returns."""
    standing(folder)
    for file in cgroups.joining_files(folder.name):
        file.write_text(str(os.getpid()))
    whole = [*network.inside(folder.name), *command]
    os.execvp(whole[0], whole)

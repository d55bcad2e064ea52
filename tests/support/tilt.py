"""Stand-ins for Tilt's words, and what Tilt makes of a Tiltfile, as far as we rely on it.

Signatures are those of Tilt's API page and of the two extensions, so that a misspelt argument fails here as it would there.
"""

# ruff: noqa: ARG001, ARG002, ARG005 -- a signature has what nobody here looks at, too

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import starlark
import yaml

Manifest: TypeAlias = dict[str, Any]
Words: TypeAlias = str | list[str]
MANUAL = "manual"
WRAPPER = "/tilt-restart-wrapper"


@dataclass(frozen=True, slots=True)
class Build:
    """An image of Tilt's own. `entrypoint` comes into every container with this image, whatever its manifest says."""

    ref: str
    dockerfile: str
    only: list[str]
    build_args: dict[str, str]
    entrypoint: list[str]
    syncs: list[tuple[str, str]]
    restart_file: str

    def watches(self, path: str) -> bool:
        return not self.only or any(lies_in(path, folder) for folder in self.only)

    def target_of(self, path: str) -> str | None:
        """Where live update puts this file."""
        found = [target + path.removeprefix(source) for source, target in self.syncs if lies_in(path, source)]
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Local:
    """A command on the machine of whoever runs Tilt."""

    name: str
    cmd: str
    deps: list[str]
    ignore: list[str]
    trigger_mode: str

    @property
    def image(self) -> str:
        """What it builds, without the tag."""
        return self.cmd.partition(" --tag ")[2].partition(":")[0]


@dataclass(frozen=True, slots=True)
class Resource:
    workload: str
    port_forwards: list[Any]
    resource_deps: list[str]
    trigger_mode: str


@dataclass(frozen=True, slots=True)
class Button:
    name: str
    argv: list[str]
    resource: str


@dataclass(slots=True)
class Tilt:
    """What a Tiltfile said. `charts` are the manifests of each chart and kustomization, by folder."""

    charts: dict[str, list[Manifest]]
    contexts: list[str] = field(default_factory=list)
    builds: list[Build] = field(default_factory=list)
    locals: list[Local] = field(default_factory=list)
    resources: list[Resource] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)
    manifests: list[Manifest] = field(default_factory=list)
    values: list[str] = field(default_factory=list)

    def allow_k8s_contexts(self, contexts: Words) -> None:
        self.contexts += _list(contexts)

    def docker_build(
        self,
        ref: str,
        context: str,
        build_args: dict[str, str] | None = None,
        dockerfile: str = "Dockerfile",
        dockerfile_contents: str = "",
        live_update: list[Any] | None = None,
        match_in_env_vars: bool = False,
        ignore: Words = "",
        only: Words = "",
        entrypoint: Words = "",
        target: str = "",
        ssh: Words = "",
        network: str = "",
        secret: Words = "",
        extra_tag: Words = "",
        container_args: list[str] | None = None,
        cache_from: Words = "",
        pull: bool = False,
        platform: str = "",
    ) -> None:
        assert context == ".", "paths are compared with those of the repository"
        syncs = [(source, target) for source, target in live_update or []]
        self.builds.append(Build(ref, dockerfile, _list(only), build_args or {}, _list(entrypoint), syncs, ""))

    def docker_build_with_restart(
        self,
        ref: str,
        context: str,
        entrypoint: Words,
        live_update: list[Any],
        base_suffix: str = "-tilt_docker_build_with_restart_base",
        restart_file: str = "/tmp/.restart-proc",
        **kwargs: Any,
    ) -> None:
        """Two images: one that nobody runs, and on it one whose entrypoint starts the service anew when a file is written."""
        inspect.signature(self.docker_build).bind(ref, context, live_update=live_update, **kwargs)
        assert live_update, "the extension insists on at least one step"
        wrapped = [WRAPPER, f"--watch_file={restart_file}", *_list(entrypoint)]
        syncs = [(source, target) for source, target in live_update]
        self.docker_build(ref + base_suffix, context, **kwargs)
        base = self.builds[-1]
        self.builds.append(Build(ref, base.dockerfile, base.only, base.build_args, wrapped, syncs, restart_file))

    def local_resource(
        self,
        name: str,
        cmd: Words = "",
        deps: Words = "",
        trigger_mode: str = "",
        resource_deps: list[str] | None = None,
        ignore: Words = "",
        auto_init: bool = True,
        serve_cmd: Words = "",
        cmd_bat: Words = "",
        serve_cmd_bat: Words = "",
        allow_parallel: bool = False,
        links: Words = "",
        tags: list[str] | None = None,
        env: dict[str, str] | None = None,
        serve_env: dict[str, str] | None = None,
        readiness_probe: Any = None,
        dir: str = "",
        serve_dir: str = "",
        labels: Words = "",
    ) -> None:
        assert isinstance(cmd, str)
        self.locals.append(Local(name, cmd, _list(deps), _list(ignore), trigger_mode))

    def k8s_resource(
        self,
        workload: str = "",
        new_name: str = "",
        port_forwards: Any = None,
        extra_pod_selectors: Any = None,
        trigger_mode: str = "",
        resource_deps: list[str] | None = None,
        objects: list[str] | None = None,
        auto_init: bool = True,
        pod_readiness: str = "",
        links: Any = None,
        labels: Words = "",
        discovery_strategy: str = "",
    ) -> None:
        self.resources.append(Resource(workload, port_forwards or [], resource_deps or [], trigger_mode))

    def k8s_yaml(self, yaml: Any, allow_duplicates: bool = False) -> None:
        assert isinstance(yaml, dict), "text would be taken for the path of a file"
        self.manifests += yaml["blob"]

    def kustomize(self, pathToDir: str, kustomize_bin: str = "", flags: list[str] | None = None) -> Any:  # noqa: N803
        return {"blob": self.charts[pathToDir]}

    def helm(
        self,
        pathToChartDir: str,  # noqa: N803
        name: str = "",
        namespace: str = "",
        values: Words = "",
        set: Words = "",
        kube_version: str = "",
        skip_crds: bool = False,
    ) -> Any:
        self.values += _list(values)
        return {"blob": self.charts[pathToChartDir]}

    def cmd_button(
        self,
        name: str,
        resource: str = "",
        argv: list[str] | None = None,
        text: str | None = None,
        location: str = "resource",
        icon_name: str | None = None,
        icon_svg: str | None = None,
        inputs: list[Any] | None = None,
    ) -> None:
        assert argv, "the extension insists on a command"
        self.buttons.append(Button(name, argv, resource))

    def dirtied_by(self, path: str) -> set[str]:
        """Images that are built anew after an edit of this file: of those that some container has, and of loaded ones."""
        run = {each.image for each in self.containers()}
        built = {build.ref for build in self.builds if build.watches(path) and build.target_of(path) is None}
        reached = (local for local in self.locals if any(lies_in(path, folder) for folder in local.deps))
        return built & run | {local.image for local in reached}

    def containers(self, manifests: Sequence[Manifest] | None = None) -> Iterator[Container]:
        """Of all pods that Tilt starts, with the command that each gets."""
        entrypoints = {build.ref: build.entrypoint for build in self.builds}
        for manifest in self.manifests if manifests is None else manifests:
            pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
            for spec in pod.get("initContainers", []) + pod.get("containers", []):
                image = spec["image"].rpartition(":")[0]
                command = entrypoints.get(image) or spec.get("command", [])
                yield Container(manifest["kind"], manifest["metadata"]["name"], image, command, spec, pod)


@dataclass(frozen=True, slots=True)
class Container:
    kind: str
    workload: str
    image: str
    command: list[str]
    spec: dict[str, Any]
    pod: dict[str, Any]


def lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _list(words: Words) -> list[str]:
    return [words] if isinstance(words, str) and words else list(words)


def _port_forward(local_port: int, container_port: int = 0, name: str = "", link_path: str = "", host: str = "") -> Any:
    return container_port or local_port


def _sync(local_path: str, remote_path: str) -> list[str]:
    return [local_path, remote_path]


def _decode_yaml_stream(yaml: Any) -> Any:
    return yaml["blob"]


def _encode_yaml_stream(objs: list[Any]) -> Any:
    return {"blob": objs}


def evaluated(tiltfile: Path, charts: dict[str, list[Manifest]]) -> Tilt:
    """Tilt after it has read this Tiltfile."""
    tilt = Tilt(yaml.safe_load(yaml.safe_dump(charts)))
    module = starlark.Module()
    words: dict[str, Callable[..., Any]] = {
        name: getattr(tilt, name)
        for name in (
            "allow_k8s_contexts",
            "docker_build",
            "local_resource",
            "k8s_resource",
            "k8s_yaml",
            "kustomize",
            "helm",
        )
    }
    words |= {"port_forward": _port_forward, "link": lambda url, name="": url, "sync": _sync}
    words |= {"decode_yaml_stream": _decode_yaml_stream, "encode_yaml_stream": _encode_yaml_stream}
    for name, word in words.items():
        module.add_callable(name, word)
    module["TRIGGER_MODE_AUTO"], module["TRIGGER_MODE_MANUAL"] = "", MANUAL
    extensions: dict[str, Callable[..., Any]] = {
        "restart_process": tilt.docker_build_with_restart,
        "uibutton": tilt.cmd_button,
    }

    def extension(name: str) -> starlark.FrozenModule:
        loaded, word = starlark.Module(), extensions[name.removeprefix("ext://")]
        loaded.add_callable(word.__name__, word)
        return loaded.freeze()

    tree = starlark.parse(tiltfile.name, tiltfile.read_text(), starlark.Dialect.extended())
    library = starlark.Globals.extended_by([starlark.LibraryExtension.StructType])
    starlark.eval(module, tree, library, starlark.FileLoader(extension))
    return tilt

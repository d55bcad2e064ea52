"""The Tiltfile, evaluated as Starlark with stand-ins for Tilt's own words, and what `make kind-up` would run.

Neither Tilt nor kind runs here: every path, image, resource and port that they name is held against what is there.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import starlark
import yaml

from tests.support.cluster import REPOSITORY

KIND = REPOSITORY / "deploy" / "kind"
TILTFILE = REPOSITORY / "Tiltfile"
DEPLOYMENTS = {"vidette-api": 8000, "vidette-controller": 8002, "vidette-triton": 8001}
"""What the chart makes with deploy/kind/values.yaml, and a port of each; tests on a cluster render it for real."""
RECORDED = (
    "allow_k8s_contexts",
    "docker_build",
    "docker_build_with_restart",
    "k8s_yaml",
    "k8s_resource",
    "local_resource",
    "cmd_button",
)
Call = tuple[tuple[Any, ...], dict[str, Any]]


class Tilt:
    """Tilt's words: most are written down, some give a value back."""

    def __init__(self) -> None:
        self.calls: dict[str, list[Call]] = {name: [] for name in RECORDED}
        self.words: dict[str, Callable[..., Any]] = {name: self._recorder(name) for name in RECORDED}
        for name in ("sync", "fall_back_on", "port_forward", "link", "kustomize"):
            self.words[name] = lambda *args, _name=name, **given: {"word": _name, "args": list(args), **given}
        self.words["helm"] = lambda path, **given: {"word": "helm", "args": [path], **given}
        self.words["decode_yaml_stream"] = lambda _: [deployment(name) for name in DEPLOYMENTS]
        self.words["encode_yaml_stream"] = lambda manifests: {"word": "yaml", "args": manifests}

    def _recorder(self, name: str) -> Callable[..., None]:
        def record(*args: Any, **given: Any) -> None:
            self.calls[name].append((args, given))

        return record


def deployment(name: str) -> dict[str, Any]:
    locked = {"readOnlyRootFilesystem": True}
    pod = {"securityContext": {"runAsNonRoot": True}, "containers": [{"name": name, "securityContext": locked}]}
    return {"kind": "Deployment", "metadata": {"name": name}, "spec": {"template": {"spec": pod}}}


@pytest.fixture(scope="module")
def tilt() -> Tilt:
    """After the Tiltfile ran."""
    known = Tilt()
    dialect = starlark.Dialect.extended()
    library = starlark.Globals.extended_by([starlark.LibraryExtension.StructType])
    module = starlark.Module()
    for name, word in known.words.items():
        module.add_callable(name, word)

    def extension(name: str) -> starlark.FrozenModule:
        assert name in ("ext://restart_process", "ext://uibutton"), name
        loaded = starlark.Module()
        word = {"ext://restart_process": "docker_build_with_restart", "ext://uibutton": "cmd_button"}[name]
        loaded.add_callable(word, known.words[word])
        return loaded.freeze()

    tree = starlark.parse("Tiltfile", TILTFILE.read_text(), dialect)
    starlark.eval(module, tree, library, starlark.FileLoader(extension))
    return known


def backing() -> list[dict[str, Any]]:
    listed = yaml.safe_load((KIND / "backing" / "kustomization.yaml").read_text())["resources"]
    return [entry for name in listed for entry in yaml.safe_load_all((KIND / "backing" / name).read_text())]


def names_of(kind: str) -> set[str]:
    return {entry["metadata"]["name"] for entry in backing() if entry["kind"] == kind}


def up() -> Any:
    spec = importlib.util.spec_from_file_location("kind_up", KIND / "up.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_path_that_the_tiltfile_names_is_there(tilt: Tilt) -> None:
    named = []
    for args, given in tilt.calls["docker_build"] + tilt.calls["docker_build_with_restart"]:
        named += [args[1], given["dockerfile"], *given.get("only", [])]
        for step in given.get("live_update", []):
            named += step["args"][0] if step["word"] == "fall_back_on" else step["args"][:1]
    for _, given in tilt.calls["local_resource"]:
        named += [*given["deps"], *re.findall(r"--file (\S+)", given["cmd"])]
    for args, _ in tilt.calls["k8s_yaml"]:
        named += args[0]["args"] if args[0]["word"] == "kustomize" else []
    text = TILTFILE.read_text()
    named += re.findall(r'helm\("([^"]+)"', text) + re.findall(r'values = \["([^"]+)"\]', text)
    named += re.findall(r'SAMPLE = "([^"]+)"', text)
    assert len(named) > 20
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


def test_what_live_update_copies_lands_where_the_image_has_it(tilt: Tilt) -> None:
    for args, given in tilt.calls["docker_build_with_restart"]:
        dockerfile = (REPOSITORY / given["dockerfile"]).read_text()
        (minor,) = set(re.findall(r"python:(3\.\d+)-slim", dockerfile))
        assert given["entrypoint"] == yaml.safe_load(re.findall(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)[0])
        copied = [step["args"] for step in given["live_update"] if step["word"] == "sync"]
        assert len(copied) == 2, args
        for source, target in copied:
            assert (REPOSITORY / source / "__init__.py").is_file()
            assert target == f"/opt/vidette/lib/python{minor}/site-packages/{Path(source).name}"


def test_every_resource_that_is_configured_or_waited_for_exists(tilt: Tilt) -> None:
    there = names_of("StatefulSet") | names_of("Deployment") | names_of("Job") | set(DEPLOYMENTS)
    there |= {"vidette-migrations"} | {args[0] for args, _ in tilt.calls["local_resource"]}
    for args, given in tilt.calls["k8s_resource"]:
        assert args[0] in there
        assert set(given.get("resource_deps", [])) <= there
    assert {given["resource"] for _, given in tilt.calls["cmd_button"]} <= there


def test_every_port_that_is_forwarded_is_listened_on(tilt: Tilt) -> None:
    ports = {
        entry["metadata"]["name"]: {port["port"] for port in entry["spec"]["ports"]}
        for entry in backing()
        if entry["kind"] == "Service"
    }
    ports |= {name: {port} for name, port in DEPLOYMENTS.items()}
    forwarded = 0
    for args, given in tilt.calls["k8s_resource"]:
        for port in given.get("port_forwards", []):
            inside = int(port) if isinstance(port, str) else port["args"][1]
            assert inside in ports[args[0]]
            forwarded += 1
    assert forwarded == 5


def test_only_the_services_that_are_updated_live_may_be_written_to(tilt: Tilt) -> None:
    (manifests,) = [args[0]["args"] for args, _ in tilt.calls["k8s_yaml"] if args[0]["word"] == "yaml"]
    contexts = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]["securityContext"]
        for one in manifests
    }
    assert contexts == {"vidette-api": {}, "vidette-controller": {}, "vidette-triton": {"readOnlyRootFilesystem": True}}


def test_the_three_buttons_are_there_and_a_shell_can_read_them(tilt: Tilt) -> None:
    buttons = {args[0]: given["argv"] for args, given in tilt.calls["cmd_button"]}
    assert set(buttons) == {"submit the sample", "kill a worker", "run tests"}
    for argv in buttons.values():
        assert all(shlex.split(word) for word in argv)


def test_kind_and_tilt_build_the_same_images_and_the_manifests_name_no_other(tilt: Tilt) -> None:
    built = {args[0] for args, _ in tilt.calls["docker_build"] + tilt.calls["docker_build_with_restart"]}
    built |= {re.findall(r"--tag (\S+):dev", given["cmd"])[0] for _, given in tilt.calls["local_resource"]}
    images = up().IMAGES
    assert {name.removesuffix(":dev") for name in images} == built
    assert all((REPOSITORY / file).is_file() for file in images.values())
    values = yaml.safe_load((KIND / "values.yaml").read_text())
    assert (values["image"]["registry"], values["image"]["tag"]) == ("vidette", "dev")
    assert values["triton"]["image"] in images
    ours = [
        line
        for file in (KIND / "backing").glob("*.yaml")
        for line in re.findall(r"image: (vidette/\S+)", file.read_text())
    ]
    assert ours
    assert set(ours) <= set(images)


def test_make_kind_up_leaves_a_cluster_that_is_there_and_installs_with_what_is_here() -> None:
    steps = up()
    assert steps.cluster_steps(["vidette"]) == []
    words = [word for step in [*steps.cluster_steps([]), *steps.install_steps()] for word in step.command]
    paths = [Path(word) for word in words if word.startswith("/")]
    assert len(paths) > 10
    assert [path for path in paths if not path.exists()] == []
    node_port = yaml.safe_load((KIND / "values.yaml").read_text())["api"]["service"]["nodePort"]
    (mapping,) = yaml.safe_load((KIND / "cluster.yaml").read_text())["nodes"][0]["extraPortMappings"]
    assert (mapping["containerPort"], mapping["hostPort"], mapping["listenAddress"]) == (node_port, 8000, "127.0.0.1")


def test_the_secret_on_kind_has_every_key_that_the_chart_asks_for() -> None:
    defaults = yaml.safe_load((REPOSITORY / "charts" / "vidette" / "values.yaml").read_text())
    keys = {defaults[part]["key"] for part in ("database", "tokens")} | {defaults["triton"]["control"]["key"]}
    keys |= {defaults["store"]["accessKeyKey"], defaults["store"]["secretKeyKey"]}
    (secret,) = yaml.safe_load((KIND / "backing" / "kustomization.yaml").read_text())["secretGenerator"]
    assert keys <= {literal.partition("=")[0] for literal in secret["literals"]}

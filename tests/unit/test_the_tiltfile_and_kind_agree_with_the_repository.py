"""The Tiltfile, evaluated as Starlark with stand-ins for Tilt's own words, and what `make kind-up` would run.

Neither Tilt nor kind runs here: every path, image, resource and port that they name is held against what is there, and
what Tilt would make of the manifests and of an edit is worked out by Tilt's rules.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml

from tests.support.cluster import REPOSITORY
from tests.support.tilt import MANUAL, WRAPPER, Build, Container, Manifest, Tilt, evaluated, lies_in
from vidette.cli import app

KIND = REPOSITORY / "deploy" / "kind"
BACKING, CHART = "deploy/kind/backing", "charts/vidette"
LIVE = {"vidette-api": "vidette/vidette-api", "vidette-controller": "vidette/vidette-controller"}
USER = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}
LOCKED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
PORTS = {"vidette-api": 8000, "vidette-controller": 8002, "vidette-triton": 8001}


def container(image: str, *command: str) -> dict[str, Any]:
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "models", "mountPath": "/models"}]
    made = {"name": image, "image": f"vidette/vidette-{image}:dev", "securityContext": LOCKED, "volumeMounts": mounts}
    return {**made, "command": [*command]} if command else made


def workload(kind: str, name: str, runs: dict[str, Any], before: tuple[str, ...] = ()) -> Manifest:
    pod = {"securityContext": USER, "initContainers": [container(image) for image in before], "containers": [runs]}
    return {"kind": kind, "metadata": {"name": name}, "spec": {"template": {"spec": pod}}}


def chart() -> list[Manifest]:
    """As Helm renders it with deploy/kind/values.yaml, without what Tilt is not concerned with."""
    test = {"name": "vidette-test", "annotations": {"helm.sh/hook": "test"}}
    return [
        workload(
            "Job", "vidette-migrations", container("api", "python", "-m", "vidette_core.adapters.postgres.migrate")
        ),
        workload("Deployment", "vidette-api", container("api"), before=("models",)),
        workload("Deployment", "vidette-controller", container("controller")),
        workload("Deployment", "vidette-triton", container("triton-cpu", "tritonserver"), before=("models",)),
        {"kind": "Service", "metadata": {"name": "vidette-api", "annotations": {}}, "spec": {"ports": [{"port": 80}]}},
        {"kind": "Pod", "metadata": test, "spec": {"containers": [container("api")]}},
    ]


def backing() -> list[Manifest]:
    listed = yaml.safe_load((KIND / "backing" / "kustomization.yaml").read_text())["resources"]
    return [entry for name in listed for entry in yaml.safe_load_all((KIND / "backing" / name).read_text())]


@pytest.fixture(scope="module")
def tilt() -> Tilt:
    """After the Tiltfile ran."""
    return evaluated(REPOSITORY / "Tiltfile", {BACKING: backing(), CHART: chart()})


@pytest.fixture(scope="module")
def up() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kind_up", KIND / "up.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def live_builds(tilt: Tilt) -> list[Build]:
    return [build for build in tilt.builds if build.ref in LIVE.values()]


def final_stage(build: Build) -> str:
    return (REPOSITORY / build.dockerfile).read_text().rpartition("\nFROM ")[2]


def test_every_path_that_the_tiltfile_names_is_there(tilt: Tilt) -> None:
    named = [BACKING, CHART, *tilt.values]
    for build in tilt.builds:
        named += [build.dockerfile, *build.only, *(source for source, _ in build.syncs)]
    for local in tilt.locals:
        named += [*local.deps, *re.findall(r"--file (\S+)", local.cmd)]
    assert len(named) > 20
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


def test_what_live_update_copies_lands_where_the_image_has_it(tilt: Tilt) -> None:
    assert len(live_builds(tilt)) == len(LIVE)
    for build in live_builds(tilt):
        dockerfile = (REPOSITORY / build.dockerfile).read_text()
        (minor,) = set(re.findall(r"python:(3\.\d+)-slim", dockerfile))
        (entrypoint,) = re.findall(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)
        assert build.entrypoint == [WRAPPER, f"--watch_file={build.restart_file}", *yaml.safe_load(entrypoint)]
        assert len(build.syncs) == 2
        for source, target in build.syncs:
            assert (REPOSITORY / source / "__init__.py").is_file()
            assert target == f"/opt/vidette/lib/python{minor}/site-packages/{Path(source).name}"


def test_only_the_services_themselves_are_started_by_tilts_entrypoint(tilt: Tilt) -> None:
    wrapped = {(each.kind, each.workload, each.image) for each in tilt.containers() if WRAPPER in each.command}
    assert wrapped == {("Deployment", name, image) for name, image in LIVE.items()}
    jobs = {each.workload: each for each in tilt.containers() if each.kind == "Job"}
    assert set(jobs) == {"vidette-migrations", "bucket"}
    for job in jobs.values():
        assert job.command == job.spec["command"]
        assert job.image == "vidette/vidette-api-once"
    once, api = (
        (build.dockerfile, build.only) for build in tilt.builds if build.ref in (job.image, LIVE["vidette-api"])
    )
    assert once == api


def updated(tilt: Tilt) -> list[tuple[Build, Container]]:
    pairs = [(build, each) for build in live_builds(tilt) for each in tilt.containers() if each.image == build.ref]
    assert len(pairs) == len(LIVE)
    return pairs


def test_no_volume_hides_the_file_by_which_a_service_is_started_anew(tilt: Tilt) -> None:
    for build, each in updated(tilt):
        mounts = [mount["mountPath"] for mount in each.spec["volumeMounts"]]
        assert "/tmp" in mounts, "the pods of the chart have one there"
        assert [path for path in mounts if lies_in(build.restart_file, path)] == []


def test_the_user_of_a_pod_owns_what_live_update_writes(tilt: Tilt) -> None:
    for build, each in updated(tilt):
        context = each.pod["securityContext"]
        assert build.build_args == {"OWNER": f"{context['runAsUser']}:{context['runAsGroup']}"}
        argument, copied = re.findall(r"^(ARG OWNER=.*|COPY .*)$", final_stage(build), re.MULTILINE)
        assert argument == "ARG OWNER=0:0", "elsewhere it is root's"
        folder = copied.split()[-1]
        assert copied == f"COPY --from=build --chown=${{OWNER}} {folder} {folder}"
        assert all(lies_in(target, folder) for target in [*(target for _, target in build.syncs), build.restart_file])


def test_the_pods_differ_from_the_charts_in_one_thing_each(tilt: Tilt) -> None:
    before = by_place(tilt, [*backing(), *chart()])
    after = by_place(tilt, tilt.manifests)
    assert after.keys() == before.keys()
    assert "vidette-test" not in {manifest["metadata"]["name"] for manifest in tilt.manifests}
    for place, each in after.items():
        expected = dict(before[place].spec)
        if each.kind == "Job":
            expected["image"] = "vidette/vidette-api-once:dev"
        elif each.image in LIVE.values():
            expected["securityContext"] = {**LOCKED, "readOnlyRootFilesystem": False}
        assert each.spec == expected
        assert each.pod["securityContext"] == before[place].pod["securityContext"]


def by_place(tilt: Tilt, manifests: list[Manifest]) -> dict[tuple[str, str], Container]:
    return {(each.workload, each.spec["name"]): each for each in tilt.containers(manifests)}


@pytest.mark.parametrize(
    ("edited", "images"),
    [
        ("services/controller/vidette_controller/loop.py", set()),
        ("services/api/vidette_api/__main__.py", {"api-once"}),
        ("libs/core/vidette_core/settings.py", {"api-once", "frame-worker", "models"}),
        ("libs/models/vidette_models/compose.py", {"models"}),
        ("services/frame-worker/vidette_frame_worker/__main__.py", {"frame-worker"}),
        ("deploy/triton/cpu/serve.py", {"triton-cpu"}),
        ("services/controller/pyproject.toml", {"controller"}),
        ("uv.lock", {"api", "api-once", "controller", "frame-worker", "models"}),
        ("libs/client/vidette/cli.py", set()),
        ("docs/architecture.md", set()),
        ("tests/unit/test_release_builds_every_image.py", set()),
    ],
)
def test_an_edit_builds_what_has_it_and_nothing_else(tilt: Tilt, edited: str, images: set[str]) -> None:
    assert (REPOSITORY / edited).is_file()
    assert tilt.dirtied_by(edited) == {f"vidette/vidette-{name}" for name in images}


def test_an_edit_of_the_core_is_copied_into_both_services_and_makes_no_new_pod_of_theirs(tilt: Tilt) -> None:
    edited = "libs/core/vidette_core/settings.py"
    assert {build.ref for build in tilt.builds if build.target_of(edited)} == set(LIVE.values())
    built = tilt.dirtied_by(edited) - {local.image for local in tilt.locals}
    assert {each.kind for each in tilt.containers() if each.image in built} == {"Job"}
    manual = {each.workload for each in tilt.resources if each.trigger_mode == MANUAL}
    assert manual == {each.workload for each in tilt.containers() if each.kind == "Job"}


def test_what_python_writes_beside_the_sources_loads_no_image(tilt: Tilt) -> None:
    assert [local.name for local in tilt.locals if local.ignore != ["**/__pycache__"]] == []
    assert "**/__pycache__" in (REPOSITORY / ".dockerignore").read_text().splitlines()


def test_every_resource_that_is_configured_or_waited_for_exists(tilt: Tilt) -> None:
    there = {each.workload for each in tilt.containers()} | {local.name for local in tilt.locals}
    for resource in tilt.resources:
        assert resource.workload in there
        assert set(resource.resource_deps) <= there
    assert {button.resource for button in tilt.buttons} <= there


def test_every_port_that_is_forwarded_is_listened_on(tilt: Tilt) -> None:
    services = [entry for entry in backing() if entry["kind"] == "Service"]
    listening = {(entry["metadata"]["name"], port["port"]) for entry in services for port in entry["spec"]["ports"]}
    forwarded = [(each.workload, int(port)) for each in tilt.resources for port in each.port_forwards]
    assert len(forwarded) == 5
    assert set(forwarded) <= listening | set(PORTS.items())


def button(tilt: Tilt, name: str) -> list[str]:
    return next(each.argv for each in tilt.buttons if each.name == name)


def test_the_sample_is_submitted_to_the_port_that_leads_to_the_api(tilt: Tilt, monkeypatch: pytest.MonkeyPatch) -> None:
    program, command, *words = button(tilt, "submit the sample")
    assert (REPOSITORY / program).is_file()
    monkeypatch.chdir(REPOSITORY)
    given = typer.main.get_group(app).commands[command].make_context(command, words).params
    assert given["file"].is_file()
    assert given["wait"]
    local = re.findall(r"port_forward\((\d+), 8000", (REPOSITORY / "Tiltfile").read_text())
    assert given["url"] == f"http://127.0.0.1:{local[0]}"


@pytest.mark.parametrize(
    ("running", "said"), [("", "No worker runs"), ("pod/worker-1\npod/worker-2", "gone: pod/worker-1")]
)
def test_one_worker_is_killed_and_none_is_no_error(tilt: Tilt, tmp_path: Path, running: str, said: str) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        "#!/bin/sh\n"
        '[ "$1 $2 $3 $4" = "--context kind-vidette --namespace vidette" ] || exit 1\n'
        f"case $5 in get) echo '{running}';; delete) echo gone: $7;; esac\n"
    )
    kubectl.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    told = subprocess.check_output(button(tilt, "kill a worker"), env=path, text=True, timeout=30)
    assert told.startswith(said)


def test_the_tests_are_run_by_a_target_that_is_there(tilt: Tilt) -> None:
    make, *words = button(tilt, "run tests")
    alone = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE")
    }  # not the make of the tests
    told = subprocess.check_output([make, "-n", *words], cwd=REPOSITORY, env=alone, text=True, timeout=30)
    program, *folders = told.splitlines()[-1].split()
    assert program.endswith("pytest")
    assert [folder for folder in folders if not (REPOSITORY / folder).is_dir()] == []
    assert folders


def test_kind_and_tilt_build_the_same_images_and_the_manifests_name_no_other(tilt: Tilt, up: ModuleType) -> None:
    built = {each.image for each in tilt.containers() if each.image.startswith("vidette/")}
    built |= {local.image for local in tilt.locals}
    assert {name.removesuffix(":dev") for name in up.IMAGES} == built - {"vidette/vidette-api-once"}
    assert all((REPOSITORY / file).is_file() for file in up.IMAGES.values())
    values = yaml.safe_load((KIND / "values.yaml").read_text())
    assert (values["image"]["registry"], values["image"]["tag"]) == ("vidette", "dev")
    assert values["triton"]["image"] in up.IMAGES
    named = {each.spec["image"] for each in tilt.containers(backing()) if each.image.startswith("vidette/")}
    assert named == {"vidette/vidette-api:dev"}


def test_make_kind_up_leaves_a_cluster_that_is_there_and_installs_with_what_is_here(up: ModuleType) -> None:
    assert up.cluster_steps(["vidette"]) == []
    words = [word for step in [*up.cluster_steps([]), *up.install_steps(False)] for word in step.command]
    paths = [Path(word) for word in words if word.startswith("/")]
    assert len(paths) > 10
    assert [path for path in paths if not path.exists()] == []
    node_port = yaml.safe_load((KIND / "values.yaml").read_text())["api"]["service"]["nodePort"]
    (mapping,) = yaml.safe_load((KIND / "cluster.yaml").read_text())["nodes"][0]["extraPortMappings"]
    assert (mapping["containerPort"], mapping["hostPort"], mapping["listenAddress"]) == (node_port, 8000, "127.0.0.1")


def test_make_kind_up_waits_for_every_server_and_starts_pods_anew_when_they_were_there(up: ModuleType) -> None:
    first, again = ([step.command for step in up.install_steps(is_there)] for is_there in (False, True))
    assert first[-1][0] == "helm"
    assert again[: len(first)] == first
    waited = [command[-2] for command in first if "rollout" in command]
    servers = [each for each in backing() if each["kind"] in ("StatefulSet", "Deployment")]
    assert sorted(waited) == sorted(f"{each['kind'].lower()}/{each['metadata']['name']}" for each in servers)
    restart, *waits = again[len(first) :]
    assert [f"deployment/{name}" for name in PORTS] == list(restart[-len(PORTS) :]) == [wait[-2] for wait in waits]


def test_the_secret_on_kind_has_every_key_that_the_chart_asks_for() -> None:
    defaults = yaml.safe_load((REPOSITORY / "charts" / "vidette" / "values.yaml").read_text())
    keys = {defaults[part]["key"] for part in ("database", "tokens")} | {defaults["triton"]["control"]["key"]}
    keys |= {defaults["store"]["accessKeyKey"], defaults["store"]["secretKeyKey"]}
    (secret,) = yaml.safe_load((KIND / "backing" / "kustomization.yaml").read_text())["secretGenerator"]
    assert keys <= {literal.partition("=")[0] for literal in secret["literals"]}

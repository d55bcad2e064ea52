"""The bake file builds what the repository holds, and the workflows are such as GitHub would take."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
DOCKERFILES = sorted([*ROOT.glob("services/*/Dockerfile"), *ROOT.glob("libs/*/Dockerfile")])
IMAGE = re.compile(r"vidette-([a-z-]+):\$\{VERSION\}$")


def _bake() -> dict[str, Any]:
    options = hcl2.SerializationOptions(strip_string_quotes=True)
    read: dict[str, Any] = hcl2.loads((ROOT / "docker-bake.hcl").read_text(), serialization_options=options)
    return read


def _blocks(kind: str) -> dict[str, dict[str, Any]]:
    return {name.strip('"'): block for entry in _bake()[kind] for name, block in entry.items()}


def test_each_dockerfile_has_one_target_and_each_target_a_dockerfile() -> None:
    named = [target["dockerfile"] for target in _blocks("target").values() if "dockerfile" in target]
    assert sorted(named) == [str(file.relative_to(ROOT)) for file in DOCKERFILES]


def test_every_service_has_an_image_of_its_own_name() -> None:
    tags = {name: target["tags"][0] for name, target in _blocks("target").items() if "tags" in target}
    assert all((found := IMAGE.search(tag)) and found[1] == name for name, tag in tags.items())
    services = {folder.name for folder in (ROOT / "services").iterdir() if (folder / "pyproject.toml").is_file()}
    assert services <= set(tags)


def test_a_release_builds_all_that_the_default_does_and_attests_it() -> None:
    groups, targets = _blocks("group"), _blocks("target")
    assert groups["release"]["targets"] == [f"{name}-release" for name in groups["default"]["targets"]]
    assert set(groups["default"]["targets"]) == {name for name, target in targets.items() if "dockerfile" in target}
    for name in groups["release"]["targets"]:
        assert targets[name]["inherits"] == [name.removesuffix("-release"), "_release"]
    assert {kind.split(",")[0] for kind in targets["_release"]["attest"]} == {"type=provenance", "type=sbom"}


def test_every_argument_that_bake_gives_is_asked_for_by_every_dockerfile() -> None:
    for file in DOCKERFILES:
        asked = set(re.findall(r"^ARG (\w+)", file.read_text(), re.MULTILINE))
        assert set(_blocks("target")["_common"]["args"]) <= asked, file


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_a_dockerfile_names_its_base_once_and_runs_as_a_number(file: Path) -> None:
    lines = file.read_text().splitlines()
    bases = [line for line in lines if line.startswith("FROM ")]
    assert bases == ["FROM ${PYTHON_IMAGE} AS build", "FROM ${PYTHON_IMAGE}"]
    assert [line for line in lines if line.startswith("ARG PYTHON_IMAGE=")] == [
        f"ARG PYTHON_IMAGE={_blocks('variable')['PYTHON_IMAGE']['default']}"
    ]
    final = lines[lines.index(bases[1]) :]
    assert "USER 10001:10001" in final
    labels = set(re.findall(r'org\.opencontainers\.image\.([\w.]+)="', "\n".join(final)))
    assert labels == {"title", "description", "version", "revision", "base.name", "base.digest"}
    assert not any(line.startswith("RUN ") for line in final), "what a build needs must not come into the image"


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_is_one_by_githubs_schema(file: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_fixes_each_action_by_commit_and_gives_no_right_that_is_not_asked_for(file: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", file.read_text())
    foreign = [(action, note) for action, note in used if not action.startswith("./")]
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action, _ in foreign), foreign
    assert all(re.fullmatch(r" # v\d+(\.\d+){0,2}", note) for _, note in foreign), foreign
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {}
    assert all("permissions" in job for job in workflow["jobs"].values())


def test_a_release_signs_every_image_that_bake_makes_and_the_list_of_its_files() -> None:
    steps = yaml.safe_load((ROOT / ".github/workflows/release.yaml").read_text())["jobs"]["publish"]["steps"]
    (script,) = [step["run"] for step in steps if 'cosign sign --yes "$reference"' in step.get("run", "")]
    signed = re.search(r"for image in (.+); do", script)
    assert signed is not None
    assert signed[1].split() == _blocks("group")["default"]["targets"]
    assert any("sha256sum -- *" in step.get("run", "") and "cosign sign-blob" in step["run"] for step in steps)


def test_one_base_is_named_by_the_images_the_release_and_the_tests() -> None:
    """No updater follows a base that is an argument: whoever changes it finds all places by this."""
    base = _blocks("variable")["PYTHON_IMAGE"]["default"]
    assert yaml.safe_load((ROOT / ".github/workflows/release.yaml").read_text())["env"]["BASE"] == base
    builder = (ROOT / "deploy/testcluster/vidette_testcluster/service_images.py").read_text()
    assert re.findall(r'^BASE = "([^"]+)"', builder, re.MULTILINE) == [base]

"""Making Triton's environment from its lock: once, again after damage, by two at a time, and without a Python."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.triton import ROOT
from vidette_local.triton_python import VERSIONS, find_python, inspect_python
from vidette_local.triton_runtime import RuntimeUnavailable, TritonRuntime, prepare

PROJECT = ROOT / "deploy" / "triton" / "cpu"
_PREPARE = "import sys; from pathlib import Path; from vidette_local.triton_runtime import prepare; "
_PREPARE += "print(prepare(Path(sys.argv[1]), Path(sys.argv[2]), 'uv').program)"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runtime that two processes made at the same time."""
    runtime_dir = tmp_path_factory.mktemp("runtime")
    argv = [sys.executable, "-c", _PREPARE, str(runtime_dir), str(PROJECT)]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate(timeout=120)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert printed == {str(prepare(runtime_dir, PROJECT, "uv").program)}
    yield runtime_dir
    shutil.rmtree(runtime_dir)


def marker(runtime_dir: Path) -> Path:
    """A file that vanishes when the environment is made again."""
    path = runtime_dir / "triton" / "venv" / "marker"
    path.touch()
    return path


def test_what_is_made_is_complete_and_copied(made: Path) -> None:
    runtime = prepare(made, PROJECT, "uv")
    assert runtime.program.is_file()
    backends = made / "triton" / "backends"
    for name in ("python/libtriton_python.so", "python/triton_python_backend_stub", "onnxruntime/model.py"):
        assert (backends / name).is_file()
        assert not (backends / name).is_symlink()
    numpy = subprocess.run(
        [made / "triton" / "venv" / "bin" / "python", "-c", "import numpy; print(numpy.__version__)"],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert numpy.stdout.startswith("1."), "numpy 2 in the stub answers without bytes"


def test_a_second_time_nothing_is_made(made: Path) -> None:
    kept = marker(made)
    prepare(made, PROJECT, "/nowhere/uv")
    assert kept.exists()


@pytest.mark.parametrize("damage", ["stamp.json", "backends/python/triton_python_backend_stub"])
def test_a_half_made_one_is_made_again(made: Path, damage: str) -> None:
    lost = marker(made)
    (made / "triton" / damage).unlink()
    prepare(made, PROJECT, "uv")
    assert not lost.exists()
    assert (made / "triton" / damage).exists()


def test_a_moved_one_is_made_again(made: Path, tmp_path: Path) -> None:
    marker(made)
    shutil.copytree(made, tmp_path / "moved", symlinks=True)
    runtime = prepare(tmp_path / "moved", PROJECT, "uv")
    assert not (tmp_path / "moved" / "triton" / "venv" / "marker").exists()
    assert runtime.program.is_relative_to(tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved")


def test_another_backend_source_makes_it_again(made: Path, tmp_path: Path) -> None:
    project = tmp_path / "cpu"
    shutil.copytree(PROJECT, project)
    with (project / "onnxruntime" / "model.py").open("a") as source:
        source.write("# changed\n")
    lost = marker(made)
    prepare(made, project, "uv")
    assert not lost.exists()
    assert (made / "triton" / "backends" / "onnxruntime" / "model.py").read_text().endswith("# changed\n")


def test_a_missing_uv_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match=r"/nowhere/uv was not found\. Install uv"):
        prepare(tmp_path, PROJECT, "/nowhere/uv")


def test_what_cannot_be_installed_is_reported_in_uvs_words_and_leaves_no_stamp(tmp_path: Path) -> None:
    project = tmp_path / "cpu"
    shutil.copytree(PROJECT, project)
    (project / "uv.lock").write_text("not a lock")
    with pytest.raises(RuntimeUnavailable, match=r"could not install Triton's packages: .*uv\.lock"):
        prepare(tmp_path / "runtime", project, "uv")
    assert not (tmp_path / "runtime" / "triton" / "stamp.json").exists()


def test_a_python_that_will_do_is_found_by_asking_it(tmp_path: Path) -> None:
    found = find_python({})
    if ".".join(map(str, sys.version_info[:2])) in VERSIONS:
        assert found is not None
        assert found.minor == ".".join(map(str, sys.version_info[:2]))
    impostor = tmp_path / "python3.12"
    impostor.write_text("#!/bin/sh\nexit 127\n")
    impostor.chmod(0o755)
    assert inspect_python(impostor) is None
    impostor.write_text(
        f"#!/bin/sh\necho '{json.dumps(['/usr/bin/python3.12', '3.12.1', str(tmp_path), 'libpython.so'])}'\n"
    )
    assert inspect_python(impostor) is None, "without its shared library it cannot carry the stub"


def test_the_command_restricts_what_workers_may_do(made: Path) -> None:
    runtime: TritonRuntime = prepare(made, PROJECT, "uv")
    command = runtime.command(Path("/models"), 8001, 8002, "s3cret", "me")
    assert (
        "--grpc-restricted-protocol=metadata,shared-memory,model-config,model-repository,statistics,trace,logging"
        ":vidette-control=s3cret" in command.argv
    )

"""What is taken out of an image before it is compiled, and that a wheel of another layout is noticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SLIM = Path(__file__).resolve().parents[2] / "deploy" / "images" / "slim.py"
CALL = "import sys, runpy, pathlib; print(runpy.run_path(sys.argv[1])['slim'](pathlib.Path(sys.argv[2])))"


def _slim(packages: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CALL, str(SLIM), str(packages)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def _file(path: Path, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    return path


def test_only_the_services_that_we_speak_to_stay_described(tmp_path: Path) -> None:
    kept = [_file(tmp_path / "botocore" / "data" / name) for name in ("s3/a.json", "sts/a.json", "endpoints.json")]
    gone = [_file(tmp_path / "botocore" / "data" / name, 100) for name in ("ec2/a.json", "rds/2014/b.json")]
    done = _slim(tmp_path)
    assert done.stdout == "200\n", done.stderr
    assert all(file.exists() for file in kept)
    assert not any(file.exists() for file in gone)


def test_a_package_that_moved_its_files_fails_the_build(tmp_path: Path) -> None:
    _file(tmp_path / "botocore" / "described" / "ec2.json")
    done = _slim(tmp_path)
    assert done.returncode == 1
    assert "botocore has no data/*/ any more" in done.stderr


def test_a_package_that_is_not_there_is_no_matter(tmp_path: Path) -> None:
    assert _slim(tmp_path).stdout == "0\n"

"""A repository that was written in one place serves in another, whole or not at all."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import StoreEndpoint
from tests.support.stores import blob_store
from vidette_models.builtin import write_builtin
from vidette_models.repository import CATALOG


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    write_builtin(root)
    return root


def _bring(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vidette_models", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def _settings(endpoint: StoreEndpoint) -> dict[str, str]:
    return {
        "VIDETTE_STORE_ENDPOINT": endpoint.endpoint,
        "VIDETTE_STORE_BUCKET": endpoint.bucket,
        "VIDETTE_STORE_ACCESS_KEY": endpoint.access_key,
        "VIDETTE_STORE_SECRET_KEY": endpoint.secret_key,
        "VIDETTE_STORE_REGION": endpoint.region,
    }


def _files(root: Path) -> dict[str, bytes]:
    paths = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_pods_that_fill_a_folder_of_their_own_agree(tmp_path: Path) -> None:
    """Triton and the api each do, in every pod: what one names, the other has to serve."""
    for name in ("triton", "api"):
        done = _bring(str(tmp_path / name))
        assert done.returncode == 0, done.stderr
    assert _files(tmp_path / "triton") == _files(tmp_path / "api")


def test_a_folder_is_copied_and_stray_files_stay_behind(written: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(written, source)
    (source / "lost+found").mkdir()
    (source / "lost+found" / "config.pbtxt").write_text("no model")
    done = _bring(str(target), "--from-folder", str(source))
    assert done.returncode == 0, done.stderr
    assert _files(target) == _files(written)


async def test_the_objects_of_a_store_are_copied(written: Path, tmp_path: Path, s3: StoreEndpoint) -> None:
    async with blob_store(s3) as blobs:
        for path, content in _files(written).items():
            upload = await blobs.create_upload(f"models/{path}")
            etag = await blobs.upload_part(f"models/{path}", upload, 1, content)
            await blobs.complete_upload(f"models/{path}", upload, {1: etag})
    done = _bring(str(tmp_path), "--from-store", "models", **_settings(s3))
    assert done.returncode == 0, done.stderr
    assert _files(tmp_path) == _files(written)


def test_a_model_with_other_bytes_is_refused_and_no_catalog_published(written: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(written, source)
    with (source / "ppocr-rec" / "1" / "model.onnx").open("ab") as model:
        model.write(b"x")
    done = _bring(str(target), "--from-folder", str(source))
    assert done.returncode == 1
    assert "ppocr-rec version 1" in done.stderr
    assert not (target / CATALOG).exists()


def test_tensorrt_is_for_detectors_only_and_can_be_taken_back(written: Path, tmp_path: Path) -> None:
    assert _bring(str(tmp_path), "--from-folder", str(written), "--tensorrt", "fp16").returncode == 0
    detector, text = tmp_path / "demo-detector" / "config.pbtxt", tmp_path / "ppocr-rec" / "config.pbtxt"
    assert 'name: "tensorrt"' in detector.read_text()
    assert 'value: "FP16"' in detector.read_text()
    (largest,) = re.findall(r"^max_batch_size: (\d+)$", detector.read_text(), re.MULTILINE)
    warmed = re.findall(r"^model_warmup .*batch_size: (\d+)", detector.read_text(), re.MULTILINE)
    assert warmed == ["1", largest], "no engine is built once requests come"
    assert "tensorrt" not in text.read_text()
    assert _bring(str(tmp_path), "--from-folder", str(written)).returncode == 0
    assert _files(tmp_path) == _files(written)


def test_a_store_without_settings_is_told_by_their_names(tmp_path: Path) -> None:
    done = _bring(str(tmp_path), "--from-store", "models")
    assert done.returncode != 0
    assert "VIDETTE_STORE_ENDPOINT" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr

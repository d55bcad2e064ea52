"""A service whose settings are wrong says which, in a line each, shows no value, and ends with a code of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scripted_kube import kubeconfig
from vidette_core.settings import CONFIGURATION_ERROR


@pytest.mark.parametrize("module", ["vidette_controller", "vidette_api", "vidette_frame_worker"])
def test_each_wrong_variable_is_named_and_no_value_is_shown(module: str) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("VIDETTE_")}
    wrong = {"VIDETTE_LOG_LEVEL": "secret-shouting"}
    ended = subprocess.run(
        [sys.executable, "-m", module], env={**bare, **wrong}, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == CONFIGURATION_ERROR
    assert "VIDETTE_" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret-shouting" not in ended.stderr


def test_a_secret_that_is_too_short_is_not_shown_where_workers_are_kubernetes_jobs(tmp_path: Path) -> None:
    """Everything else is right, or is not asked for before all settings were read."""
    template = tmp_path / "worker.yaml"
    template.write_text('{"spec": {"containers": [{"name": "worker", "image": "registry.invalid/worker:1"}]}}')
    bare = {name: value for name, value in os.environ.items() if not name.startswith("VIDETTE_")}
    settings = {
        "VIDETTE_DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:1/nothing",
        "VIDETTE_NATS_URL": "nats://127.0.0.1:1",
        "VIDETTE_STORE_ENDPOINT": "http://127.0.0.1:1",
        "VIDETTE_STORE_ACCESS_KEY": "nobody",
        "VIDETTE_STORE_SECRET_KEY": "nothing",
        "VIDETTE_GATEWAY_URL": "http://gateway:8001",
        "VIDETTE_TRITON_URL": "triton:8001",
        "VIDETTE_KUBERNETES_NAMESPACE": "somewhere",
        "VIDETTE_KUBERNETES_WORKER_TEMPLATE": str(template),
        "VIDETTE_KUBERNETES_KUBECONFIG": str(kubeconfig(tmp_path, "http://127.0.0.1:1")),
        "VIDETTE_TOKEN_SECRET": "too-short-a-secret",
    }
    command = [sys.executable, "-m", "vidette_controller"]
    ended = subprocess.run(command, env={**bare, **settings}, capture_output=True, text=True, timeout=60)
    assert ended.returncode == CONFIGURATION_ERROR, ended.stderr
    assert "VIDETTE_TOKEN_SECRET" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    assert "too-short-a-secret" not in ended.stderr + ended.stdout

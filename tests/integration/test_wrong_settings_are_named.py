"""A service whose settings are wrong says which, in a line each, shows no value, and ends with a code of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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

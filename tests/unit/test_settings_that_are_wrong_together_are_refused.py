"""Settings each of which is right by itself: the controller refuses to start with those that would spoil long videos."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pydantic import SecretStr

from vidette_controller.settings import ControllerSettings, WrongTogether, expect_lasting_tokens
from vidette_core.settings import CONFIGURATION_ERROR, TokenSettings


def tokens(life_s: int) -> TokenSettings:
    return TokenSettings(secret=SecretStr("s" * 32), life_s=life_s)


def test_tokens_have_to_last_as_long_as_an_attempt_may_take() -> None:
    settings = ControllerSettings(deadline_s=3600, start_patience_s=100, refused_start_patience_s=200)
    expect_lasting_tokens(settings, tokens(3800))
    with pytest.raises(WrongTogether, match=r"VIDETTE_TOKEN_LIFE_S: 3799 s are less .* 3800 s"):
        expect_lasting_tokens(settings, tokens(3799))


def test_the_defaults_go_together() -> None:
    expect_lasting_tokens(ControllerSettings(), TokenSettings(secret=SecretStr("s" * 32)))


def test_the_controller_names_them_and_ends_as_with_any_wrong_setting() -> None:
    variables = {
        "VIDETTE_TOKEN_SECRET": "s" * 32,
        "VIDETTE_TOKEN_LIFE_S": "60",
        "VIDETTE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "VIDETTE_STORE_ENDPOINT": "http://127.0.0.1:1",
        "VIDETTE_STORE_ACCESS_KEY": "a",
        "VIDETTE_STORE_SECRET_KEY": "b",
        "VIDETTE_NATS_URL": "nats://127.0.0.1:1",
        "VIDETTE_GATEWAY_URL": "http://127.0.0.1:1",
        "VIDETTE_TRITON_URL": "127.0.0.1:1",
        "VIDETTE_JOBS_SOCKET": "/nowhere",
    }
    command = [sys.executable, "-m", "vidette_controller"]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)
    assert done.returncode == CONFIGURATION_ERROR
    assert done.stderr.splitlines()[-1].startswith("VIDETTE_TOKEN_LIFE_S: 60 s are less")

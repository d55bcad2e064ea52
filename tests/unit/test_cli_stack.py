"""What the embedded stack's commands say before anything is started, and what a stack does to its own process."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scripted_service import STATUS, job, scripted_service
from vidette_local.ports import is_free
from vidette_local.stack import PortTaken

ASK_BESIDE_A_STACK = """
import asyncio, sys
from pathlib import Path
import httpx
from vidette_local.settings import LocalSettings
from vidette_local.stack import Stack

async def ask() -> None:
    async with Stack(LocalSettings(home=Path(sys.argv[1]), parts=())):
        print(httpx.get(sys.argv[2], timeout=10).status_code)

asyncio.run(ask())
"""


def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1", **more}
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_whoever_runs_a_stack_reaches_its_parts_past_a_proxy(tmp_path: Path) -> None:
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    with scripted_service({STATUS: [job("running")]}) as script:
        url = script.url + STATUS.removeprefix("GET ")
        done = run("-c", ASK_BESIDE_A_STACK, str(tmp_path / "home"), url, **proxies, no_proxy="", NO_PROXY="")
    assert done.stdout == "200\n", done.stderr


@pytest.mark.parametrize(("arguments", "output"), [(["ps"], "[]\n"), (["ps", "--json"], "[]\n"), (["down"], "")])
def test_asking_in_a_folder_without_a_stack_names_the_folder(arguments: list[str], output: str, tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    done = run("-m", "vidette.cli", *arguments, VIDETTE_HOME=str(home))
    assert (done.returncode, done.stdout) == (0, output)
    assert f"There is no state folder {home}." in done.stderr


def test_the_remedy_for_a_taken_port_is_a_port_that_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        following = socket.socket()
        following.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with following:
            if is_free(port + 1):
                following.bind(("127.0.0.1", port + 1))
                following.listen()
            named = re.search(r"VIDETTE_HTTP_PORT=(\d+) make up", str(PortTaken(port)))
            assert named is not None
            assert int(named[1]) > port + 1
            assert is_free(int(named[1]))


def test_where_no_port_is_left_the_remedy_names_the_setting_alone() -> None:
    assert str(PortTaken(65535)).endswith("Choose another, with VIDETTE_HTTP_PORT")


def test_a_wrong_setting_of_a_service_is_named_before_anything_is_started(tmp_path: Path) -> None:
    home = tmp_path / "home"
    variables = {"VIDETTE_HOME": str(home), "VIDETTE_LIMIT_PIXELS": "many", "VIDETTE_LEASE_S": "-1"}
    ran = subprocess.run(
        [sys.executable, "-m", "vidette_local", "up"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 2
    assert "VIDETTE_LIMIT_PIXELS: " in ran.stderr
    assert "VIDETTE_LEASE_S: " in ran.stderr
    assert not home.exists()

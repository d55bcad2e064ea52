"""The stack as its user meets it: `vidette up` as a process, with the parts that are not ours (PostgreSQL, NATS, the store)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import is_alive, stack_processes, wait_until
from vidette_local.ports import is_free, load_or_pick
from vidette_local.stack_process import StackDidNotStart, StackProcess

PARTS = {"VIDETTE_PARTS": "postgres,nats,s3"}
NAMES = ["postgres", "nats", "s3"]
ONE = {"VIDETTE_PARTS": "nats"}  # the quickest, where any part will do


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """One stack for the tests that leave it running as they found it."""
    with StackProcess(tmp_path_factory.mktemp("stack") / "home", PARTS) as running:
        yield running


def command(name: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vidette_local", name],
        env={**os.environ, **PARTS, "VIDETTE_HOME": str(home), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def all_ready(stack: StackProcess) -> bool:
    return [part["state"] for part in stack.ps()] == ["ready"] * len(NAMES)


def test_ps_prints_each_part_with_exactly_four_keys(stack: StackProcess) -> None:
    printed = command("ps", stack.home.path)
    assert printed.returncode == 0
    parts: list[dict[str, Any]] = json.loads(printed.stdout)
    assert [part["name"] for part in parts] == NAMES
    for part in parts:
        assert set(part) == {"name", "pid", "state", "address"}
        assert is_alive(part["pid"])
        assert part["state"] == "ready"
        host, _, port = part["address"].partition(":")
        with socket.create_connection((host, int(port)), timeout=5):
            assert host == "127.0.0.1"


def test_ps_of_nothing_is_an_empty_list(tmp_path: Path) -> None:
    printed = command("ps", tmp_path / "nothing-here")
    assert (printed.returncode, printed.stdout) == (0, "[]\n")


def test_nothing_listens_beyond_loopback(stack: StackProcess) -> None:
    # proc_pid_net(5): local address in hexadecimal, state 0A is LISTEN; 0100007F is 127.0.0.1.
    ours = {f"{int(part['address'].rpartition(':')[2]):04X}" for part in stack.ps()}
    rows = [
        line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    listening = [row[1].split(":") for row in rows if row[3] == "0A" and row[1].split(":")[1] in ours]
    assert {port for _, port in listening} == ours
    assert {address for address, _ in listening} == {"0100007F"}


def test_no_secret_is_on_a_command_line(stack: StackProcess) -> None:
    secrets = json.loads((stack.home.path / "secrets.json").read_text()).values()
    for pid in stack_processes(stack.home.path):
        arguments = Path(f"/proc/{pid}/cmdline").read_text()
        assert not [secret for secret in secrets if secret in arguments]


def test_only_the_owner_can_read_secrets_and_logs(stack: StackProcess) -> None:
    files = [stack.home.path / "secrets.json", stack.home.path / "nats" / "nats.conf", *stack.home.logs.iterdir()]
    assert [file for file in files if file.stat().st_mode & 0o077] == []


def test_a_second_up_on_the_same_home_is_refused_and_names_the_first(stack: StackProcess) -> None:
    before = stack.ps()
    refused = command("up", stack.home.path)
    assert refused.returncode == 2
    assert f"process {stack.pid}" in refused.stderr
    assert "make down" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert stack.ps() == before


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_part_comes_back_at_the_same_address(stack: StackProcess, name: str) -> None:
    before = stack.part(name)
    stack.kill_part(name)
    wait_until(lambda: stack.part(name)["pid"] not in (None, before["pid"]) and all_ready(stack), 20, f"{name} is back")
    assert stack.part(name)["address"] == before["address"]


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = command("up", tmp_path / "home", VIDETTE_PARTS="postgres,api", VIDETTE_HTTP_PORT=str(port))
    assert refused.returncode == 2
    assert f"port {port} on 127.0.0.1 is taken" in refused.stderr
    assert "VIDETTE_HTTP_PORT=" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "home" / "postgres").exists()


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    refused = command("up", tmp_path / "home", VIDETTE_HTTP_PORT="many")
    assert refused.returncode == 2
    assert refused.stderr.startswith("VIDETTE_HTTP_PORT: ")


def test_kill_9_of_the_supervisor_leaves_no_process_and_the_next_up_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with StackProcess(home, PARTS) as killed:
        ports = {part["name"]: part["address"] for part in killed.ps()}
        assert len(stack_processes(home)) > len(NAMES), "PostgreSQL has processes of its own"
        killed.send(signal.SIGKILL)
        wait_until(lambda: stack_processes(home) == [], 5, "every process of the stack is gone")
        assert killed.wait() == -signal.SIGKILL
    with StackProcess(home, PARTS) as again:
        assert {part["name"]: part["address"] for part in again.ps()} == ports


def test_leftovers_of_a_dead_supervisor_are_killed_at_the_next_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with StackProcess(home, ONE) as first:
        mark = {"VIDETTE_STACK": first.home.stack_id}
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], env={**os.environ, **mark}
    ) as leftover:
        try:
            with StackProcess(home, ONE) as second:
                assert leftover.wait(timeout=5) == -signal.SIGKILL
                assert "left behind" in second.said()
        finally:
            leftover.kill()


def test_a_recycled_pid_is_not_killed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with StackProcess(home, ONE):
        ledger = json.loads((home / "processes.json").read_text())
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as innocent:
        try:
            # A process that has the pid of one of ours, and another start time.
            ledger["processes"] = {str(innocent.pid): 1}
            (home / "processes.json").write_text(json.dumps(ledger))
            with StackProcess(home, ONE):
                assert innocent.poll() is None
        finally:
            innocent.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_stops_everything_in_order_and_without_a_traceback(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    home = tmp_path / "home"
    with StackProcess(home, PARTS) as stack:
        began = time.monotonic()
        stack.send(number)
        assert stack.wait(20) == code
        assert time.monotonic() - began < 20
        assert stack_processes(home) == []
        assert "Traceback" not in stack.said()
    assert "database system is shut down" in (home / "logs" / "postgres.log").read_text()


def test_a_signal_during_the_start_stops_what_has_started(tmp_path: Path) -> None:
    home = tmp_path / "home"
    stack = StackProcess(home, PARTS)
    stack.launch()
    try:
        wait_until(lambda: (home / "logs" / "postgres.log").exists(), 20, "the first part is started")
        stack.send(signal.SIGINT)
        assert stack.wait(20) == 130
        assert stack_processes(home) == []
        assert "Traceback" not in stack.said()
    finally:
        stack.stop()


def test_down_waits_until_the_stack_is_gone_and_may_be_repeated(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with StackProcess(home, ONE) as stack:
        stopped = command("down", home)
        assert stopped.returncode == 0
        assert stack_processes(home) == []
        assert stack.wait(5) == 0
    again = command("down", home)
    assert (again.returncode, again.stderr) == (0, "nothing runs\n")


def test_a_half_made_state_is_mended(tmp_path: Path) -> None:
    """As a kill -9 leaves it in the middle of the very first start."""
    home = tmp_path / "home"
    (home / "postgres" / "new-77" / "data" / "base").mkdir(parents=True)
    (home / "s3.new-77" / "data").mkdir(parents=True)
    (home / "ports.json").write_text('{"postgres": ')
    with StackProcess(home, PARTS) as stack:
        assert all_ready(stack)
    assert sorted(path.name for path in (home / "postgres").iterdir()) == ["data"]
    assert not (home / "s3.new-77").exists()


def test_a_cluster_that_is_none_is_refused_with_a_remedy(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "postgres" / "data").mkdir(parents=True)
    with pytest.raises(StackDidNotStart) as caught, StackProcess(home, PARTS):
        pass
    assert caught.value.exit_code == 1
    assert f"Move {home / 'postgres'} away" in caught.value.said
    assert stack_processes(home) == []


def test_unreadable_secrets_are_refused_with_a_remedy(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "secrets.json").write_text("{")
    with pytest.raises(StackDidNotStart) as caught, StackProcess(home, ONE):
        pass
    assert caught.value.exit_code == 2
    assert "secrets.json" in caught.value.said


def test_state_of_another_version_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "version").write_text("999\n")
    refused = command("up", home)
    assert refused.returncode == 2
    assert "999" in refused.stderr


def test_a_state_folder_with_a_long_path_works(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30) / "home"
    with StackProcess(home, ONE) as stack:
        assert len(os.fsencode(stack.home.socket)) <= 100
        assert [part["state"] for part in stack.ps()] == ["ready"]


def test_a_kept_port_that_somebody_took_is_picked_again(tmp_path: Path) -> None:
    first = load_or_pick(tmp_path / "ports.json", ["a", "b"])
    with socket.socket() as other:
        other.bind(("127.0.0.1", first["a"]))
        other.listen()
        assert not is_free(first["a"])
        second = load_or_pick(tmp_path / "ports.json", ["a", "b"])
    assert second["b"] == first["b"]
    assert second["a"] not in first.values()

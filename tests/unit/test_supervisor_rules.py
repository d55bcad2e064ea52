"""The supervisor's rules that need no process: pauses, verdicts, ports, environments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidette_local.credentials import Credentials, load_or_make
from vidette_local.environment import StackAddresses, api_environment, controller_environment, worker_environment
from vidette_local.home import Home, HomeInUse, HomeUnusable
from vidette_local.jobs.policy import Verdict, backoff_seconds, verdict
from vidette_local.settings import LocalSettings, PartName, machine_environment, tuning_environment
from vidette_local.supervisor import next_backoff

SECRETS = Credentials()
ADDRESSES = StackAddresses(
    database_url="postgresql+asyncpg://vidette:pw@127.0.0.1:1/vidette",
    nats_url="nats://token@127.0.0.1:2",
    store_endpoint="http://127.0.0.1:3",
    store_bucket="vidette",
    store_region="us-east-1",
    triton="127.0.0.1:4",
    http_port=8000,
    gateway_port=5,
    ops_port=6,
    jobs_socket=Path("/s"),
    catalog=Path("/c"),
)


def test_a_part_that_keeps_dying_waits_longer_and_longer_up_to_half_a_minute() -> None:
    pauses: list[float] = []
    pause: float | None = None
    for _ in range(9):
        pause = next_backoff(pause, ran_seconds=1)
        pauses.append(pause)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_minute_of_health_is_forgiveness() -> None:
    assert next_backoff(30, ran_seconds=61) == 0.5
    assert next_backoff(8, ran_seconds=59) == 16


@pytest.mark.parametrize(
    ("exit_code", "failures", "expected"),
    [
        (0, 0, Verdict.SUCCEEDED),
        (0, 6, Verdict.SUCCEEDED),
        (42, 1, Verdict.FAILED),
        (75, 1, Verdict.AGAIN),
        (143, 6, Verdict.AGAIN),
        (137, 7, Verdict.FAILED),
    ],
)
def test_a_workers_exit_decides_over_its_job(exit_code: int, failures: int, expected: Verdict) -> None:
    assert verdict(exit_code, failures, backoff_limit=6) is expected


def test_failed_workers_come_back_after_one_second_doubling_to_thirty() -> None:
    assert [backoff_seconds(failures) for failures in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


def test_the_database_and_the_store_are_for_api_and_controller_only() -> None:
    api, controller = api_environment(ADDRESSES, SECRETS), controller_environment(ADDRESSES, SECRETS)
    assert api["VIDETTE_DATABASE_URL"] == controller["VIDETTE_DATABASE_URL"]
    assert "VIDETTE_JOBS_SOCKET" not in api
    assert "VIDETTE_HTTP_PORT" not in controller
    secrets = set(SECRETS.model_dump().values())
    worker = worker_environment({"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "VIDETTE_TOKEN_SECRET": "y"}, "id")
    assert not secrets & set(worker.values())
    assert {"AWS_SECRET_ACCESS_KEY", "VIDETTE_TOKEN_SECRET"}.isdisjoint(worker)


def test_each_service_is_told_only_what_it_reads() -> None:
    api, controller = api_environment(ADDRESSES, SECRETS), controller_environment(ADDRESSES, SECRETS)
    assert {"VIDETTE_GATEWAY_URL", "VIDETTE_TRITON_URL"} <= set(controller) - set(api)
    assert {"VIDETTE_CATALOG_FILE", "VIDETTE_SHUTDOWN_S"} <= set(api) - set(controller)


def test_addresses_and_secrets_do_not_show_their_passwords() -> None:
    shown = repr(ADDRESSES) + repr(SECRETS)
    assert "pw@" not in shown
    assert not [secret for secret in SECRETS.model_dump().values() if secret in shown]


def test_the_users_own_variables_reach_the_services_and_the_stacks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDETTE_CHUNK_FRAMES", "20")
    monkeypatch.setenv("VIDETTE_HOME", "/somewhere")
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.delenv("no_proxy", raising=False)
    tuning = tuning_environment()
    assert tuning["VIDETTE_CHUNK_FRAMES"] == "20"
    assert "VIDETTE_HOME" not in tuning
    assert not [name for name in machine_environment() if name.startswith("VIDETTE_")]
    assert machine_environment()["no_proxy"] == "example.org,127.0.0.1,localhost"


def test_parts_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDETTE_PARTS", "nats, postgres")
    assert LocalSettings().parts == (PartName.NATS, PartName.POSTGRES)
    monkeypatch.delenv("VIDETTE_PARTS")
    assert list(LocalSettings().parts) == ["postgres", "nats", "s3", "triton", "api", "controller"]


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    made = load_or_make(tmp_path / "secrets.json")
    assert load_or_make(tmp_path / "secrets.json") == made
    assert len(set(made.model_dump().values())) == len(made.model_dump())
    assert len(made.token_secret) >= 32


@pytest.mark.parametrize("content", ["", "{}", json.dumps({"token_secret": "short"})])
def test_secrets_that_cannot_be_read_are_never_replaced(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(content)
    with pytest.raises(HomeUnusable):
        load_or_make(file)
    assert file.read_text() == content


def test_a_home_has_one_holder_who_is_known_by_pid(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.holder() is None
    with home.hold():
        assert home.holder() is not None
        with pytest.raises(HomeInUse, match="make down"), Home(tmp_path).hold():
            pass
    assert home.holder() is None

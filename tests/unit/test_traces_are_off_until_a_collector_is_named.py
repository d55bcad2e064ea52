"""What switches traces on, what is refused and how, what workers are told, and that off means that nothing is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from uuid import UUID

import pytest
from pydantic import SecretStr, ValidationError

from vidette_controller.launch import Template, spec_of
from vidette_core.domain.traceparents import is_sampled, well_formed
from vidette_core.settings import CONFIGURATION_ERROR, TokenSettings, TracingSettings
from vidette_core.telemetry import tracing
from vidette_core.tokens import Tokens

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
LOOK = """
import json, sys, threading
import {module}.__main__
from vidette_core.settings import TracingSettings
from vidette_core.telemetry import tracing
with tracing.tracing("service", TracingSettings()), tracing.span("work"):
    carried = tracing.carried()
loaded = sorted(name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")))
print(json.dumps([loaded, threading.active_count(), carried]))
"""


def bare(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("VIDETTE_", "OTEL_"))} | more


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def given(monkeypatch: pytest.MonkeyPatch, **variables: str) -> TracingSettings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return TracingSettings()


@pytest.mark.parametrize("module", ["vidette_api", "vidette_controller", "vidette_frame_worker"])
def test_by_default_a_service_loads_no_sdk_and_no_exporter_and_has_no_thread_for_them(module: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOOK.format(module=module)], env=bare(), capture_output=True, text=True, check=True
    )
    assert json.loads(ran.stdout) == [[], 1, {}]


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        (COLLECTOR, "http://collector:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector/otlp/"}, "https://collector/otlp/v1/traces"),
        ({**COLLECTOR, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://other:1/here"}, "http://other:1/here"),
    ],
)
def test_an_endpoint_switches_them_on(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str) -> None:
    settings = given(monkeypatch, **variables)
    assert settings.is_on
    assert settings.traces_url == url


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {**COLLECTOR, "OTEL_SDK_DISABLED": "True"},
        {**COLLECTOR, "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_SDK_DISABLED": "true"},
    ],
)  # fmt: skip
def test_what_leaves_or_switches_them_off_needs_no_right_settings(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    settings = given(monkeypatch, **variables)
    assert not settings.is_on
    assert settings.for_workers() == {}


def test_a_protocol_for_traces_overrules_that_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    protocols = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}
    assert given(monkeypatch, **COLLECTOR, **protocols).is_on


@pytest.mark.parametrize("module", ["vidette_api", "vidette_controller", "vidette_frame_worker"])
def test_grpc_is_refused_at_the_start_with_a_remedy(module: str) -> None:
    wrong = {**COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    worker = {
        "VIDETTE_JOB_ID": str(UUID(int=1)),
        "VIDETTE_JOB_TOKEN": "token",
        "VIDETTE_GATEWAY_URL": "http://127.0.0.1:1",
        "VIDETTE_TRITON_URL": "127.0.0.1:1",
        "VIDETTE_POD_NAME": "pod",
    }
    ran = subprocess.run(
        [sys.executable, "-m", module], env=bare(**wrong, **worker), capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == CONFIGURATION_ERROR
    assert "OTEL_EXPORTER_OTLP_PROTOCOL: " in ran.stderr
    assert "4318" in ran.stderr
    assert "OTEL_SDK_DISABLED=true" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("address", ["collector:4318", "http://", "http://user:hush@collector:4318"])
def test_an_address_that_is_none_or_that_holds_credentials_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        given(monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT=address)
    (wrong,) = caught.value.errors(include_input=False)
    assert wrong["loc"] == ("exporter_otlp_endpoint",)
    assert "hush" not in wrong["msg"]


def test_workers_are_told_the_collector_and_the_sampler_and_no_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(
        monkeypatch,
        **COLLECTOR,
        OTEL_EXPORTER_OTLP_HEADERS="authorization=secret",
        OTEL_SERVICE_NAME="mine",
        OTEL_TRACES_SAMPLER="parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.25",
    )
    assert settings.for_workers() == {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.25",
    }


def test_a_launch_without_a_trace_is_what_it_was_and_with_one_differs_in_one_variable() -> None:
    template = Template("http://gateway:1", "triton:2", {"VIDETTE_LOG_LEVEL": "INFO"})
    tokens, begun = Tokens(TokenSettings(secret=SecretStr("s" * 40))), datetime(2026, 1, 1, tzinfo=UTC)
    without = spec_of(template, tokens, UUID(int=7), 1, begun)
    traced = spec_of(template, tokens, UUID(int=7), 1, begun, traceparent=GOOD)
    assert sorted(without.env) == ["VIDETTE_GATEWAY_URL", "VIDETTE_JOB_ID", "VIDETTE_LOG_LEVEL", "VIDETTE_TRITON_URL"]
    assert traced.env == {**without.env, "TRACEPARENT": GOOD}
    assert traced.spec_hash == without.spec_hash


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.upper(),
        GOOD + "-more",
        GOOD + "\n",
        " " + GOOD,
        GOOD.replace("00-", "01-", 1),
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "$(reboot)",
    ],
)
def test_nothing_but_a_traceparent_passes_for_one(text: str) -> None:
    assert well_formed(text) is None


def test_a_traceparent_is_kept_as_it_is() -> None:
    assert well_formed(GOOD) == GOOD
    assert well_formed(None) is None
    assert is_sampled(GOOD)
    assert not is_sampled(GOOD[:-1] + "0")


def test_spans_that_nobody_wants_can_be_used_like_others() -> None:
    with tracing.span("work") as span, tracing.closely(), tracing.continued(GOOD):
        span.rename("other")
        span.tell({"a": 1})
        span.fail("why")
        assert tracing.current_traceparent() is None
        assert tracing.carried_to_models() == {}
    span.end()

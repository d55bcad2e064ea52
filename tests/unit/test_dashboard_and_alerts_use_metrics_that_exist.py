"""Whatever the dashboard draws and the alerts watch is a metric that exists, with labels and values that it can have."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import promql_parser as promql
import pytest
from prometheus_client import Counter, Gauge, Histogram

from tests.support.cluster import REPOSITORY
from tests.support.metrics_page import DASHBOARD, TRITONS_OWN, page, rules
from vidette_controller.explaining import Explainer
from vidette_controller.findings import Finding
from vidette_core.telemetry.metrics import METRICS, REGISTRIES, Metric, Service
from vidette_core.testing.launcher import FakeLauncher

SOURCES = [path for folder in ("libs", "services") for path in (REPOSITORY / folder).rglob("*.py")]
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")
KNOWN_ELSEWHERE = {"finding": tuple(finding.value for finding in Finding)}
"""Values of labels that the core leaves open, since a layer above it names them."""


def series() -> dict[str, Metric]:
    """Every name that Prometheus stores, and the metric that it comes of."""
    found: dict[str, Metric] = {}
    for metric in METRICS:
        parts = HISTOGRAM_PARTS if metric.kind is Histogram else ("",)
        found |= {metric.name + part: metric for part in parts}
    return found


SERIES = series()
LABELS = {name: frozenset(metric.labels) for name, metric in SERIES.items()}
LABELS |= {name: frozenset(labels) for name, labels in TRITONS_OWN.items()}
SCRAPED = {"namespace", "pod"}
"""Labels that Prometheus adds to all that it scrapes by the chart's ServiceMonitors and PodMonitors."""
BOARD = json.loads(DASHBOARD.read_text())
DRAWN: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [
    *(pytest.param(rule["expr"], id=rule["alert"]) for rule in rules()),
    *(pytest.param(target["expr"], id=panel["title"]) for panel in DRAWN for target in panel["targets"]),
]


def selectors(expression: Any) -> Iterator[Any]:
    """All vector selectors inside of a parsed expression."""
    if isinstance(expression, promql.VectorSelector):
        yield expression
    elif isinstance(expression, promql.MatrixSelector):
        yield expression.vector_selector
    for name in ("lhs", "rhs", "expr", "param"):
        inner = getattr(expression, name, None)
        if isinstance(inner, promql.Expr):
            yield from selectors(inner)
    for inner in getattr(expression, "args", ()) or ():
        yield from selectors(inner)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_only_metrics_labels_and_values_that_exist(expression: str) -> None:
    found = list(selectors(promql.parse(expression)))
    assert found
    for selector in found:
        for matcher in selector.matchers.matchers:
            assert matcher.name in LABELS[selector.name] | SCRAPED
            metric = SERIES.get(selector.name)
            allowed = (metric.labels.get(matcher.name) if metric else None) or KNOWN_ELSEWHERE.get(matcher.name)
            values = [value for value in matcher.value.split("|") if re.fullmatch(r"[a-z_]+", value)]
            assert allowed is None or set(values) <= set(allowed)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_grouped_by_is_a_label(expression: str) -> None:
    names = {name for listed in re.findall(r"by \(([^)]*)\)", expression) for name in re.split(r",\s*", listed)}
    labels = {name for selector in selectors(promql.parse(expression)) for name in LABELS[selector.name]}
    assert names <= labels | SCRAPED | {"le"}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_only_one_installation_is_looked_at(expression: str) -> None:
    """Two on one Prometheus would hide each other's absence, and count double."""
    for selector in selectors(promql.parse(expression)):
        matchers = [(matcher.name, str(matcher.op), matcher.value) for matcher in selector.matchers.matchers]
        assert ("namespace", "MatchOp.Equal", "$namespace") in matchers


def test_the_dashboard_asks_which_installation() -> None:
    variables = {variable["name"]: variable for variable in BOARD["templating"]["list"]}
    metric = re.fullmatch(r"label_values\((\w+), namespace\)", variables["namespace"]["query"]["query"])
    assert metric is not None
    assert metric[1] in SERIES


def test_every_alert_says_which_installation_it_is_about() -> None:
    """What it sums up has lost that label, and of two that are alike Alertmanager tells one."""
    assert {rule["labels"]["namespace"] for rule in rules()} == {"$namespace"}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_counters_are_never_read_as_they_stand(expression: str) -> None:
    """They begin anew with each pod: only their rate says something. Triton's that are drawn are all counters."""
    for name in re.findall(r"\b((?:vidette|nv)_\w+)(?:\{(?:\"[^\"]*\"|[^}\"])*\})?(?!\w|\{|\[)", expression):
        assert SERIES[name].kind is Gauge


def test_every_metric_is_drawn() -> None:
    drawn = {
        selector.name
        for panel in DRAWN
        for target in panel["targets"]
        for selector in selectors(promql.parse(target["expr"]))
    }
    assert {SERIES[name].name for name in drawn - TRITONS_OWN.keys()} == {metric.name for metric in METRICS}
    assert drawn >= TRITONS_OWN.keys()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_means_and_where_it_is_explained(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert all(rule["annotations"][name].endswith(".") for name in ("summary", "description"))
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (REPOSITORY / file).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_metrics_are_made_in_one_place_and_named_alike() -> None:
    makers = {"Counter", "Gauge", "Histogram", "Summary", "Info"}
    for path in SOURCES:
        if path.name == "metrics.py" and path.parent.name == "telemetry":
            continue
        imported = [
            name.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prometheus_client")
            for name in node.names
        ]
        assert not makers & set(imported), f"{path} makes a metric of its own"
    for metric in METRICS:
        assert metric.name.startswith("vidette_")
        assert metric.name.endswith("_total") == (metric.kind.__name__ == "Counter")


@pytest.mark.parametrize("service", Service)
def test_a_service_shows_its_own_metrics_and_no_others(service: Service) -> None:
    shown = {family.name for family in REGISTRIES[service].collect()}
    assert shown == {metric.name.removesuffix("_total") for metric in METRICS if metric.service is service}


COUNTERS = [metric for metric in METRICS if metric.kind is Counter and None not in metric.labels.values()]


@pytest.mark.parametrize("metric", COUNTERS, ids=lambda metric: metric.name)
def test_a_counter_is_there_before_anything_has_happened(metric: Metric) -> None:
    """Prometheus sees no increase in what begins at 1: the first failure would be told by no alert."""
    families = [each for each in REGISTRIES[metric.service].collect() if each.name + "_total" == metric.name]
    shown = [tuple(sample.labels[name] for name in metric.labels) for family in families for sample in family.samples]
    assert sorted(shown) == sorted(product(*(values or () for values in metric.labels.values())))


def test_the_controller_counts_every_finding_from_its_start() -> None:
    Explainer(FakeLauncher())
    for finding in Finding:
        labels = {"finding": finding.value}
        assert REGISTRIES[Service.CONTROLLER].get_sample_value("vidette_controller_diagnoses_total", labels) is not None


def test_the_page_is_what_the_code_says() -> None:
    present = (REPOSITORY / "docs" / "metrics.md").read_text()
    assert present == page(), "write it anew: .venv/bin/python -m tests.support.metrics_page > docs/metrics.md"

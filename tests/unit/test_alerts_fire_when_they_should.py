"""Each alert, tried on an hour of samples: it fires when what it is for has happened, and not in a healthy installation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import promql_parser as promql
import pytest
from prometheus_client import Histogram

from tests.support.metrics_page import rules
from tests.support.promql import Labels, NotUnderstood, Query, Series, Vector
from vidette_controller.findings import EXPLANATIONS, Finding
from vidette_core.telemetry.metrics import METRICS

FOUND, WAITING, FULL = "controller_diagnoses_total", "jobs_not_starting", "too_many_uploads"
OURS, OTHERS = "videos", "others"
END, SCRAPE = 3600, 30
RULES = {rule["alert"]: rule for rule in rules()}
KNOWN = {metric.name + ("_count" if metric.kind is Histogram else ""): metric for metric in METRICS}
CONTROLLERS = ("controller-1", "controller-2")
POLLED, SUBMITTED, PROBED = (
    {"app": "public", "route": route} for route in ("/video/status/{id}", "/video/submit", "/readyz")
)
Course = Callable[[float], float]
"""What a metric shows, by the second."""


def one(name: str, course: Course, pod: str = "api-1", **labels: str) -> list[Series]:
    """What Prometheus keeps of one series."""
    assert set(labels) == set(KNOWN[f"vidette_{name}"].labels)
    samples = [(float(second), float(course(second))) for second in range(0, END + 1, SCRAPE)]
    return [Series(f"vidette_{name}", {"namespace": OURS, "pod": pod, **labels}, samples)]


def both(name: str, course: Course, **labels: str) -> list[Series]:
    """The same of each controller."""
    return [series for pod in CONTROLLERS for series in one(name, course, pod, **labels)]


def gone_at(end: float, series: Iterable[Series]) -> list[Series]:
    return [replace(each, samples=[pair for pair in each.samples if pair[0] <= end]) for each in series]


def each_of(name: str, label: str, values: Iterable[str], grows: Mapping[str, Course]) -> list[Series]:
    """Of each controller, for each value of the label; those that are not named stand still."""
    return [series for value in values for series in both(name, grows.get(value, steady(0)), **{label: value})]


def every(seconds: float) -> Course:
    """A counter that grows by one so often."""
    return lambda second: second // seconds


def steady(value: float) -> Course:
    return lambda _: value


def since(begin: float, course: Course) -> Course:
    """What begins only then, and is 0 before."""
    return lambda second: course(second - begin) if second >= begin else 0


def once_at(begin: float) -> Course:
    return since(begin, steady(1))


def api() -> list[Series]:
    """Two pods of it, one of them idle."""
    grows = {"submitted": every(10), "invalid_format": every(60), "upload_aborted": every(200)}
    outcomes = KNOWN["vidette_uploads_total"].labels["outcome"] or ()
    return [
        *one("uploads_active", steady(2)),
        *one("uploads_active", steady(0), "api-2"),
        *(series for each in outcomes for series in one("uploads_total", grows.get(each, steady(0)), outcome=each)),
        *one("request_seconds_count", every(2), **POLLED, status="200"),
        *one("request_seconds_count", every(200), **POLLED, status="503"),
        *one("request_seconds_count", every(10), **SUBMITTED, status="200"),
        *one("request_seconds_count", every(5), **PROBED, status="200"),
        *one("frames_committed_total", every(0.1), end="ok"),
        *one("frames_committed_total", every(10), end="decode_error"),
        *one("frames_committed_total", every(200), end="model_error"),
        *one("fenced_writes_total", every(600)),
    ]


def controllers() -> list[Series]:
    """Two of them. Nodes come and go, some videos are broken, PostgreSQL and the API server were once away for a moment."""
    ended = {"completed": every(30), "invalid_video": every(300), "cancelled": every(900)}
    found = {"drained": every(60), "crashed": every(450)}
    keeping = [finding for finding, explanation in EXPLANATIONS.items() if explanation.wait is not None]
    return [
        *both("jobs_running", steady(5)),
        *both("oldest_pending_seconds", lambda second: second % 120),
        *both("controller_tick_seconds_count", every(15)),
        *both("controller_ticks_failed_total", once_at(3300)),
        *both("controller_launcher_unavailable_total", once_at(3500)),
        *each_of("jobs_ended_total", "outcome", KNOWN["vidette_jobs_ended_total"].labels["outcome"] or (), ended),
        *each_of("controller_diagnoses_total", "finding", Finding, found),
        *each_of("jobs_not_starting", "finding", keeping, {}),
    ]


def worker(retried: float, asked: float, pod: str = "worker-1") -> list[Series]:
    """One that asks Triton and tries again so often, in seconds."""
    asks = one("worker_inference_seconds_count", every(asked), pod, model="detector")
    return asks + one("worker_inference_retries_total", every(retried), pod)


def installation(*changed: Series) -> list[Series]:
    """A healthy one, but for what is changed."""
    every_series = [*api(), *controllers(), *worker(retried=300, asked=0.5), *changed]
    return list({(series.name, series.identity): series for series in every_series}.values())


def moved(series: Iterable[Series], namespace: str) -> list[Series]:
    return [replace(each, labels={**each.labels, "namespace": namespace}) for each in series]


def firing(alert: str, series: Iterable[Series], now: float = END) -> list[dict[str, str]]:
    """The labels with which the alert has been true for as long as it has to be."""
    rule, kept = RULES[alert], list(series)
    wait = promql.parse_duration(rule["for"]).total_seconds() if "for" in rule else 0
    expression = rule["expr"].replace("$namespace", OURS)
    moments = [now - before for before in range(0, int(wait) + 1, SCRAPE)]
    seen: list[set[Labels]] = [set(Query(kept, moment).ask(expression)) for moment in moments]
    return [dict(labels) for labels in set.intersection(*seen)]


@dataclass(frozen=True, slots=True)
class Trial:
    alert: str
    what: str
    changed: list[Series]

    def __str__(self) -> str:
        return f"{self.alert}: {self.what}"


LONG_AGO = END - 700
"""Five minutes in which a last sample still counts, and five more."""
SICK = [
    Trial(
        "VidetteApiAbsent",
        "both pods are gone",
        gone_at(LONG_AGO, one("uploads_active", steady(0)) + one("uploads_active", steady(0), "api-2")),
    ),
    Trial("VidetteControllerAbsent", "both pods are gone", gone_at(LONG_AGO, both("jobs_running", steady(5)))),
    Trial(
        "VidetteControllerStandsStill",
        "both hang",
        both("controller_tick_seconds_count", lambda second: min(second, 3300) // 15),
    ),
    Trial(
        "VidetteControllerRoundsFail",
        "PostgreSQL is away",
        both("controller_ticks_failed_total", since(2400, every(15))),
    ),
    Trial(
        "VidetteControllerRoundsFail",
        "the API server is away",
        both("controller_launcher_unavailable_total", since(2400, every(15))),
    ),
    Trial(
        "VidetteRequestsFail",
        "a tenth fails",
        one("request_seconds_count", since(2700, every(20)), **POLLED, status="503"),
    ),
    Trial(
        "VidetteRequestsFail",
        "all fail of the few that there are among many probes",
        one("request_seconds_count", steady(900), **POLLED, status="200")
        + one("request_seconds_count", every(60), **POLLED, status="503")
        + one("request_seconds_count", every(0.1), **PROBED, status="200"),
    ),
    Trial("VidetteUploadsFail", "no store", one("uploads_total", since(2700, every(60)), outcome="store_unavailable")),
    Trial("VidetteUploadsFail", "a defect", one("uploads_total", since(2700, every(100)), outcome="internal")),
    Trial("VidetteUploadsRefused", "no place", one("uploads_total", since(2400, every(60)), outcome=FULL)),
    Trial("VidetteJobsWait", "no place gets free", both("oldest_pending_seconds", lambda second: second)),
    Trial("VidetteWorkersDoNotStart", "one waits for a node", both(WAITING, once_at(600), finding="no_gpu")),
    Trial("VidetteWorkersDoNotStart", "its start hangs", both(WAITING, once_at(3200), finding="slow_start")),
    Trial(
        "VidetteWorkersDoNotStart",
        "Jobs are refused",
        both(FOUND, since(2700, every(60)), finding="admission_refused"),
    ),
    Trial("VidetteWorkersFail", "a bad node", both(FOUND, since(2400, every(100)), finding="killed")),
    Trial(
        "VidetteJobsFail",
        "the first that ever did",
        one("jobs_ended_total", once_at(3500), CONTROLLERS[0], outcome="internal"),
    ),
    Trial("VidetteTritonAway", "the only worker waits", worker(retried=8, asked=8)),
    Trial("VidetteFramesNotAnalysed", "on some", one("frames_committed_total", every(5), end="model_error")),
    Trial("VidetteWritesFenced", "leases run out", one("fenced_writes_total", every(3))),
]
NOT_SO_SICK = [
    Trial("VidetteApiAbsent", "one of two is gone", gone_at(LONG_AGO, one("uploads_active", steady(0)))),
    Trial("VidetteControllerAbsent", "since a minute", gone_at(END - 60, both("jobs_running", steady(5)))),
    Trial("VidetteControllerStandsStill", "one hangs", one("controller_tick_seconds_count", steady(9), CONTROLLERS[0])),
    Trial("VidetteRequestsFail", "probes do", one("request_seconds_count", every(1), **PROBED, status="503")),
    Trial("VidetteRequestsFail", "no place", one("request_seconds_count", every(1), **SUBMITTED, status="503")),
    Trial("VidetteUploadsFail", "no place", one("uploads_total", every(1), outcome=FULL)),
    Trial("VidetteUploadsFail", "clients send rubbish", one("uploads_total", every(1), outcome="invalid_format")),
    Trial("VidetteUploadsRefused", "a single one was", one("uploads_total", once_at(3400), outcome=FULL)),
    Trial(
        "VidetteWorkersDoNotStart",
        "nodes come after three minutes",
        both(WAITING, lambda second: 4 if 3300 <= second < 3480 else 0, finding="no_room"),
    ),
    Trial("VidetteWorkersDoNotStart", "one was refused once", both(FOUND, once_at(3400), finding="quota")),
    Trial(
        "VidetteWorkersFail",
        "four did, and each of two controllers counts them",
        both(FOUND, since(2800, lambda second: min(second // 60, 4)), finding="failed"),
    ),
    Trial("VidetteWorkersFail", "nodes are drained", both(FOUND, every(5), finding="drained")),
    Trial(
        "VidetteJobsFail", "broken videos", one("jobs_ended_total", every(9), CONTROLLERS[0], outcome="invalid_video")
    ),
    Trial(
        "VidetteTritonAway",
        "each of a hundred workers tries again now and then",
        [series for number in range(100) for series in worker(60, 0.5, f"worker-{number}")],
    ),
]


@pytest.mark.parametrize("trial", SICK, ids=str)
def test_an_alert_fires_for_what_it_is_for(trial: Trial) -> None:
    fired = firing(trial.alert, installation(*trial.changed))
    assert [each.get("finding") for each in fired] == [trial.changed[0].labels.get("finding")]


@pytest.mark.parametrize("trial", NOT_SO_SICK, ids=str)
def test_an_alert_is_silent_where_nothing_is_the_matter(trial: Trial) -> None:
    assert firing(trial.alert, installation(*trial.changed)) == []


@pytest.mark.parametrize("alert", RULES)
def test_a_healthy_installation_has_no_alert_and_every_alert_was_made_to_fire(alert: str) -> None:
    assert firing(alert, installation()) == []
    assert alert in {trial.alert for trial in SICK}


@pytest.mark.parametrize("trial", SICK, ids=str)
def test_another_installation_neither_hides_an_alert_nor_raises_it(trial: Trial) -> None:
    sick = installation(*trial.changed)
    assert firing(trial.alert, [*sick, *moved(installation(), OTHERS)])
    assert firing(trial.alert, [*installation(), *moved(sick, OTHERS)]) == []


@pytest.mark.parametrize("now", range(1200, END + 1, 300))
def test_workers_that_cannot_start_are_told_for_as_long_as_a_video_waits(now: int) -> None:
    waiting = both(WAITING, once_at(600), finding="suspended")
    assert firing("VidetteWorkersDoNotStart", installation(*waiting), now)


def asked(expression: str, *series: Series) -> Vector:
    return Query(series, END).ask(expression)


def test_what_a_counter_begins_with_is_no_increase() -> None:
    """As in Prometheus: why ours are there as 0 before anything has happened."""
    begun = Series("x", {}, [(END - 60, 1.0), (END - 30, 1.0), (END, 1.0)])
    assert asked("increase(x[5m])", begun) == {frozenset(): 0.0}
    assert asked("increase(x[5m])", Series("x", {}, [(END, 1.0)])) == {}


def test_a_counter_that_fell_has_begun_anew() -> None:
    restarted = Series("x", {}, [(END - 90, 7.0), (END - 60, 9.0), (END - 30, 1.0), (END, 4.0)])
    assert asked("increase(x[5m])", restarted) == {frozenset(): 6.0}
    assert asked("rate(x[1m])", restarted) == {frozenset(): 3 / 60}


def test_what_has_not_been_scraped_for_five_minutes_is_not_there() -> None:
    gone = Series("x", {"pod": "a"}, [(END - 301, 1.0)])
    assert asked("x", gone) == {}
    assert asked('absent(x{pod="a"})', gone) == {frozenset({("pod", "a")}): 1.0}


@pytest.mark.parametrize(
    "expression",
    [
        "avg(x)",
        "x > bool 1",
        "x offset 5m",
        "sum without (pod) (x)",
        "delta(x[5m])",
        "x * 2",
        "x / on (pod) x",
        "1 + 1",
    ],
)
def test_an_expression_that_uses_more_than_the_evaluator_knows_is_not_guessed_at(expression: str) -> None:
    with pytest.raises(NotUnderstood):
        asked(expression, Series("x", {"pod": "a"}, [(END, 1.0)]))

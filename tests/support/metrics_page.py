"""docs/metrics.md, made from the code and from the alerts: run it to write the page anew.

.venv/bin/python -m tests.support.metrics_page > docs/metrics.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from tests.support.cluster import REPOSITORY
from vidette_core.telemetry.metrics import METRICS, Metric, Service

ALERTS = REPOSITORY / "charts" / "vidette" / "alerts" / "vidette.yaml"
DASHBOARD = REPOSITORY / "charts" / "vidette" / "dashboards" / "vidette.json"
TRITONS_OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "nv_inference_queue_duration_us": ("model", "version"),
    "nv_inference_request_success": ("model", "version"),
    "nv_inference_request_failure": ("model", "version"),
}
"""What the dashboard may draw of Triton's metrics, with their labels; an integration test holds it against a real server."""
_INTRODUCTION = """# Metrics, the dashboard, alerts

Made from the code and from `charts/vidette/alerts`; a test holds this page to them. The api shows its metrics at the gateway's
port 8001, the controller at 8002, each worker at 8003, Triton its own at 8002: `/metrics` everywhere.
"""
_READING = f"""
## Reading the dashboard

`metrics.dashboard.enabled` of the chart brings it to Grafana's sidecar. By hand, import `charts/vidette/dashboards/vidette.json`.
It shows one installation, that of the namespace chosen at its head. Of Triton's own metrics it draws
{", ".join(f"`{name}`" for name in TRITONS_OWN)}; where Triton is in another
namespace, those panels are empty.

"""
_ALERTS_HEAD = """
## Alerts

`metrics.rules.enabled` of the chart brings them to a Prometheus operator, for the namespace that it is installed in. By hand, put
that namespace in the place of `$namespace`, and let Prometheus add the labels `namespace` and `pod`, as the chart's monitors do:

```sh
sed 's/[$]namespace/vidette/g' charts/vidette/alerts/vidette.yaml > vidette-rules.yaml
```
"""
_ROWS = (
    ("row", "normal", "not normal, and what next"),
    ("---", "---", "---"),
    (
        "Is all well?",
        "some run, few wait, the oldest for seconds",
        "the oldest waits for minutes. Fewer run than `VIDETTE_MAX_RUNNING`: "
        "[Nothing happens at all](operations.md#nothing-happens-at-all); as many run: [Sizing](operations.md#sizing)",
    ),
    (
        "Clients",
        "`submitted`, and clients' own mistakes (`invalid_format`, `upload_aborted`)",
        "`store_unavailable`, `database_unavailable`: `/readyz` says which; `too_many_uploads`: more pods of the api",
    ),
    (
        "Jobs",
        "most end `completed`, `invalid_video` for what is broken",
        "another code: the status of such a job has the sentence, "
        "[Where a video is](operations.md#where-a-video-is) the commands",
    ),
    (
        "Workers",
        "`drained`, `evicted`, `told_to_end` when nodes go",
        "jobs that cannot start, for `no_gpu`, `quota`, `image_pull` and the like: the Event on the Job has the command",
    ),
    (
        "Frames and Triton",
        "the time of one inference is steady, Triton's queue mostly empty",
        "either grows while frames do not: Triton is the limit, [Sizing](operations.md#sizing); retries: it is away",
    ),
)


def page() -> str:
    return _INTRODUCTION + "".join(_tables()) + _READING + _reading() + _alerts()


def _reading() -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in _ROWS)


def _tables() -> Iterator[str]:
    for service in Service:
        yield f"\n## {service.value}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n"
        for metric in METRICS:
            if metric.service is service:
                yield f"| `{metric.name}` | {metric.kind.__name__.lower()} | {_labels(metric)} | {metric.meaning} |\n"


def _labels(metric: Metric) -> str:
    return ", ".join(
        f"`{name}`" + ("" if values is None else f" ({len(values)})") for name, values in metric.labels.items()
    )


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def _alerts() -> str:
    rows = [f"{_ALERTS_HEAD}\n| alert | severity | meaning | what to do |\n|---|---|---|---|\n"]
    for rule in rules():
        said = rule["annotations"]
        anchor = said["runbook"].removeprefix("docs/")
        summary = (
            said["summary"].replace("{{ $labels.finding }}", "the finding").replace("{{ $labels.outcome }}", "the code")
        )
        meaning = f"{summary} | {said['description']} [More]({anchor})"
        rows.append(f"| `{rule['alert']}` | {rule['labels']['severity']} | {meaning} |\n")
    return "".join(rows)


if __name__ == "__main__":
    print(page(), end="")

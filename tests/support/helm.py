"""Helm, as whoever installs Vidette uses it: the program itself, on the chart of this checkout."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster import REPOSITORY, Cluster, CommandFailed

CHART = REPOSITORY / "charts" / "vidette"
Values = Mapping[str, Any]
Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Helm:
    """One release in one namespace. Every call raises CommandFailed with Helm's own words."""

    cluster: Cluster
    namespace: str
    release: str = "vidette"

    def install(self, values: Values, *, chart: Path = CHART, limit_s: float = 180.0) -> str:
        return self._with_values("install", values, chart, limit_s)

    def upgrade(self, values: Values, *, chart: Path = CHART, limit_s: float = 180.0) -> str:
        return self._with_values("upgrade", values, chart, limit_s)

    def run(self, *arguments: str, limit_s: float = 60.0, stdin: str | None = None) -> str:
        kubeconfig = f"--kubeconfig={self.cluster.kubeconfig}"
        command = [str(_program(self.cluster)), *arguments, "-n", self.namespace, kubeconfig]
        return _run(command, limit_s, stdin)

    def _with_values(self, verb: str, values: Values, chart: Path, limit_s: float) -> str:
        waiting = ["--wait", f"--timeout={limit_s:g}s"]
        arguments = [verb, self.release, str(chart), "-f", "-", *waiting]
        return self.run(*arguments, limit_s=limit_s + 20, stdin=json.dumps(values))


def rendered(
    cluster: Cluster, *values: Values | Path, release: str = "vidette", arguments: Sequence[str] = ()
) -> list[Manifest]:
    """What the chart makes of these values, without asking any cluster."""
    files = [entry for entry in values if isinstance(entry, Path)]
    given = [json.dumps(entry) for entry in values if not isinstance(entry, Path)]
    assert len(given) <= 1, "one set of values beside files"
    options = [option for file in files for option in ("-f", str(file))] + (["-f", "-"] if given else [])
    command = [str(_program(cluster)), "template", release, str(CHART), "-n", "media", *options, *arguments]
    return manifests(_run(command, 60.0, given[0] if given else None))


def manifests(text: str) -> list[Manifest]:
    return [entry for entry in yaml.safe_load_all(text) if entry]


def lint(cluster: Cluster, *files: Path) -> str:
    options = [option for file in files for option in ("-f", str(file))]
    return _run([str(_program(cluster)), "lint", "--strict", str(CHART), *options], 60.0, None)


def _program(cluster: Cluster) -> Path:
    """Beside the other programs of a cluster of ours; for the user's own, VIDETTE_TEST_HELM or the one on PATH."""
    if cluster.is_ours:
        return cluster.program.with_name("helm")
    return Path(os.environ.get("VIDETTE_TEST_HELM", "helm"))


def _run(command: Sequence[str], limit_s: float, stdin: str | None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, input=stdin or "")
    if done.returncode != 0:
        raise CommandFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}{done.stdout}")
    return done.stdout

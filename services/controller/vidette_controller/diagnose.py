"""A launched job in; what is the matter with it out, in plain words. Pure: an ordered list of named checks.

Reasons and messages are those that Kubernetes 1.34 writes; next to each group stands where. What keeps workers from starting
comes before what ended earlier ones. Messages are quoted, never trusted: they are cut, and what may be a credential is taken out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from vidette_controller.endings import ending
from vidette_controller.findings import EXPLANATIONS, Finding, Severity, Wait
from vidette_core.ports.launcher import LaunchedJob, LaunchPhase, Pod

_MOST_NAME: Final = 253
"""Longest name of an object in Kubernetes."""
_MOST_SAID: Final = 400
_SECRET_HAS_COME: Final = timedelta(seconds=10)
"""A Job is made just before the Secret that its pods read: until then a pod may be told that there is none."""
_SLOW: Final = timedelta(minutes=2)
"""Much longer than a healthy cluster takes to place a pod and to make its container."""

# k8s.io/kubernetes/pkg/kubelet/images/types.go, pkg/kubelet/kuberuntime/kuberuntime_container.go, cri-api/pkg/errors
_IMAGE: Final = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
_CONFIGURATION: Final = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreStartHookError",
    "PostStartHookError",
}
# k8s.io/kubernetes/pkg/scheduler/framework/plugins: a histogram of reasons over all nodes, so several may be true at once. What
# a node lacks comes first: in most clusters some nodes have taints or other labels, and were never meant for workers.
_PLACES: Final = (
    (Finding.NO_GPU, re.compile(r"Insufficient \S*(?:gpu|nvidia\.com/|amd\.com/)", re.IGNORECASE)),
    (Finding.NO_ROOM, re.compile(r"Insufficient |Too many pods")),
    (Finding.NO_NODE, re.compile(r"node affinity/selector|were unschedulable|no nodes available|0/0 nodes")),
    (Finding.TAINT, re.compile(r"untolerated taint")),
)

_ADDRESS: Final = re.compile(r"\b([a-z][a-z0-9+.-]*://)(?:[^\s/@\"']*@)?([^\s?#\"']*)(?:[?#][^\s\"']*)?", re.IGNORECASE)
_CREDENTIAL: Final = re.compile(
    r"eyJ[\w-]+\.[\w-]+\.[\w-]*|\bbearer\s+\S+|[\w-]*(?:password|passwd|token|secret|signature|credential|apikey)[\w-]*=\S+"
    r"|\"[\w-]*(?:password|token|secret|signature|credential)[\w-]*\"\s*:\s*\"[^\"]*\"",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is the matter, for people.

    Attributes:
        finding: for programs.
        sentence: what is the matter with whom, and what Kubernetes said of it; at most 1024 characters, for operators.
        cause: the same in a clause without a name or a quotation, fit for clients.
        remedy: what the operator does next, with the command to look with.
        severity: as Events have it.
        wait: what it waits for, when it keeps workers from starting; None when it is how a worker ended.
    """

    finding: Finding
    sentence: str
    cause: str
    remedy: str
    severity: Severity
    wait: Wait | None

    @property
    def about(self) -> str:
        """Who cannot start, or has ended: the sentence without what was said of it, which changes with each try."""
        return self.sentence.partition(": ")[0]

    @property
    def lasting(self) -> bool:
        """Whether it keeps workers from starting at all."""
        return self.wait is not None


@dataclass(frozen=True, slots=True)
class _Seen:
    finding: Finding
    pod: Pod | None = None
    said: str = ""
    by_worker: bool = False
    """Whose words those are: the worker's, or else Kubernetes'."""


_Check = Callable[[LaunchedJob, datetime], _Seen | None]


def diagnose(launched: LaunchedJob, now: datetime) -> Diagnosis | None:
    """What is the matter with the launched job; None while nothing is, or nothing is known, and when it has succeeded."""
    if launched.phase is LaunchPhase.SUCCEEDED:
        return None
    seen = next((seen for check in CHECKS if (seen := check(launched, now)) is not None), None)
    return _in_words(launched, seen) if seen is not None else None


def suspended(launched: LaunchedJob, _: datetime) -> _Seen | None:
    held = any(condition.type == "Suspended" and condition.holds for condition in launched.conditions)
    return _Seen(Finding.SUSPENDED) if held and _goes_on(launched) else None


def refused(launched: LaunchedJob, _: datetime) -> _Seen | None:
    """The API server takes no pod: apiserver/pkg/admission/plugin/resourcequota, pod-security-admission, webhooks, …"""
    if not launched.refusal or not _goes_on(launched) or _live(launched):
        return None
    return _Seen(refusal(launched.refusal), said=launched.refusal)


def refusal(said: str) -> Finding:
    """Of a pod or a Job that the API server does not take, by its words."""
    return Finding.QUOTA if "exceeded quota" in said else Finding.ADMISSION_REFUSED


def no_pod(launched: LaunchedJob, now: datetime) -> _Seen | None:
    waits = _goes_on(launched) and not launched.pods and now - launched.created_at > _SLOW
    return _Seen(Finding.NO_POD) if waits else None


def cannot_pull(launched: LaunchedJob, _: datetime) -> _Seen | None:
    found = (pod for pod in _waiting(launched) if pod.reason in _IMAGE)
    return next((_Seen(Finding.IMAGE_PULL, pod, pod.message or pod.reason) for pod in found), None)


def cannot_be_made(launched: LaunchedJob, now: datetime) -> _Seen | None:
    found = (
        pod for pod in _waiting(launched) if pod.reason in _CONFIGURATION and not _younger(pod, _SECRET_HAS_COME, now)
    )
    return next((_Seen(Finding.CONFIGURATION_ERROR, pod, pod.message or pod.reason) for pod in found), None)


def has_no_place(launched: LaunchedJob, _: datetime) -> _Seen | None:
    for pod in _waiting(launched):
        unplaced = [entry for entry in pod.conditions if entry.type == "PodScheduled" and not entry.holds]
        if unplaced or pod.reason in {"Unschedulable", "SchedulingGated", "SchedulerError"}:
            said = next((entry.message or entry.reason for entry in unplaced), "") or pod.message or pod.reason
            places = (finding for finding, pattern in _PLACES if pattern.search(said))
            return _Seen(next(places, Finding.UNSCHEDULABLE), pod, said)
    return None


def starts_slowly(launched: LaunchedJob, now: datetime) -> _Seen | None:
    slow = (pod for pod in _waiting(launched) if pod.created_at is not None and not _younger(pod, _SLOW, now))
    return next((_Seen(Finding.SLOW_START, pod, pod.message or pod.reason) for pod in slow), None)


def ended(launched: LaunchedJob, _: datetime) -> _Seen | None:
    """The newest pod that ended badly; those of a cluster's daily life only when no other did."""
    found = [(finding, pod) for pod in _newest_first(launched) if (finding := ending(pod)) is not None]
    found.sort(key=lambda each: EXPLANATIONS[each[0]].blameless)
    return next((_Seen(finding, pod, _said_of(pod), _by_worker(pod)) for finding, pod in found), None)


def gave_up(launched: LaunchedJob, _: datetime) -> _Seen | None:
    """k8s.io/api/batch/v1: PodFailurePolicy, DeadlineExceeded, BackoffLimitExceeded, FailedIndexes, …; its pods may be gone."""
    findings = {"PodFailurePolicy": Finding.BAD_INPUT, "DeadlineExceeded": Finding.DEADLINE}
    for condition in launched.conditions:
        if condition.type in {"Failed", "FailureTarget"} and condition.holds:
            return _Seen(findings.get(condition.reason, Finding.GAVE_UP), said=condition.message or condition.reason)
    return None


CHECKS: Final[tuple[_Check, ...]] = (
    suspended,
    refused,
    no_pod,
    cannot_pull,
    cannot_be_made,
    has_no_place,
    starts_slowly,
    ended,
    gave_up,
)
"""The first that sees something decides."""


def _in_words(launched: LaunchedJob, seen: _Seen) -> Diagnosis:
    explanation = EXPLANATIONS[seen.finding]
    pod, job = seen.pod.name[:_MOST_NAME] if seen.pod is not None else "", launched.name[:_MOST_NAME]
    code = seen.pod.exit_code if seen.pod is not None else None
    who = f"Pod {pod}" if seen.pod is not None else f"Job {job}"
    if code is not None:
        happened = f"{who} has ended with exit code {code}"
    elif explanation.wait is not None:
        happened = f"{who} cannot start"
    else:
        happened = f"{who} is being ended" if seen.pod is not None else f"{who} has ended"
    said = quotable(seen.said)
    sentence = f"{happened}: {explanation.cause}."
    if said:
        sentence += f" {'The worker' if seen.by_worker else 'Kubernetes'} says: {said}"
    # A Job that failed may have no pod left to look at.
    pods = pod or f"-l batch.kubernetes.io/job-name={job}"
    place = f" -n {launched.namespace}" if launched.namespace else ""
    remedy = explanation.remedy.format(pod=pods + place, job=job + place, place=place)
    return Diagnosis(seen.finding, sentence, explanation.cause, remedy, explanation.severity, explanation.wait)


def _by_worker(pod: Pod) -> bool:
    """A container that ended by itself has no reason but `Error`; its message is what it left, or the end of its log."""
    return pod.reason in {"", "Error"} and not pod.disrupted


def _said_of(pod: Pod) -> str:
    """Of an ended pod: the last line that it wrote, or why it was ended."""
    if _by_worker(pod):
        return next((line for line in reversed(pod.message.splitlines()) if line.strip()), "")
    targets = (entry.message for entry in pod.conditions if entry.type == "DisruptionTarget" and entry.holds)
    return next(targets, "") or pod.message


def quotable(said: str) -> str:
    """One line of bounded length, without queries and credentials of addresses, tokens or passwords."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in said[: 10 * _MOST_SAID]).split())
    line = _CREDENTIAL.sub("[taken out]", _ADDRESS.sub(r"\1\2", line))
    return line if len(line) <= _MOST_SAID else line[: _MOST_SAID - 1] + "…"


def _goes_on(launched: LaunchedJob) -> bool:
    return launched.phase in (LaunchPhase.PENDING, LaunchPhase.RUNNING)


def _live(launched: LaunchedJob) -> list[Pod]:
    return [pod for pod in launched.pods if pod.exit_code is None]


def _waiting(launched: LaunchedJob) -> list[Pod]:
    """Pods that have not started, the newest first; one that is being ended for the cluster's sake does not wait."""
    waiting = [pod for pod in _newest_first(launched) if pod.exit_code is None and pod.started_at is None]
    return [pod for pod in waiting if not pod.disrupted] if _goes_on(launched) else []


def _newest_first(launched: LaunchedJob) -> list[Pod]:
    return sorted(launched.pods, key=lambda pod: pod.created_at or datetime.min.replace(tzinfo=UTC), reverse=True)


def _younger(pod: Pod, age: timedelta, now: datetime) -> bool:
    return pod.created_at is not None and now - pod.created_at <= age

"""Why one pod has ended: whose doing that was is what decides whether it counts against the job. Pure.

Reasons are those that Kubernetes 1.34 writes; next to each group stands where.
"""

from __future__ import annotations

import re
import signal
from typing import Final

from vidette_controller.findings import Finding
from vidette_core.domain.worker_api import WorkerExit
from vidette_core.ports.launcher import Condition, Pod
from vidette_core.settings import CONFIGURATION_ERROR

CRASHES: Final = {
    128 + number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
}
"""Exit codes of a decoder that died of its input. SIGKILL is not among them: it is the machine's doing, not the video's."""
_SIGKILL: Final = 128 + signal.SIGKILL
_COULD_NOT_RUN: Final = {"StartError", "ContainerCannotRun"}
"""The container runtime's: the command is not in the image, or may not be run."""

# Reasons of the condition DisruptionTarget: core/v1 types.go, podgc, tainteviction, registry/core/pod/storage/eviction.go.
_DISRUPTIONS: Final = {
    "PreemptionByScheduler": Finding.PREEMPTED,
    "EvictionByEvictionAPI": Finding.DRAINED,
    "DeletionByTaintManager": Finding.NODE_LOST,
    "DeletionByDeviceTaintManager": Finding.NODE_LOST,
    "DeletionByPodGC": Finding.NODE_LOST,
    "TerminationByKubelet": Finding.EVICTED,
}
_NODE_GONE: Final = {"NodeLost", "NodeShutdown", "Terminated", "ContainerStatusUnknown"}
_NODE_REFUSED: Final = re.compile(r"OutOf|UnexpectedAdmissionError|NodeAffinity|Preempting|AppArmor|UnknownReason")
_OWN_STORAGE: Final = re.compile(r"exceeds? (?:its|the) .*limit|exceeded its local ephemeral storage limit")
"""pkg/kubelet/eviction/helpers.go: the pod's own limits, not the node's need."""

_BY_REASON: Final = {
    "OOMKilled": Finding.OUT_OF_MEMORY,
    "DeadlineExceeded": Finding.DEADLINE,
    **dict.fromkeys(_NODE_GONE, Finding.NODE_LOST),
    **dict.fromkeys(_COULD_NOT_RUN, Finding.CONFIGURATION_ERROR),
}
_BY_CODE: Final[dict[int, Finding]] = {
    WorkerExit.BAD_INPUT: Finding.BAD_INPUT,
    WorkerExit.TRY_AGAIN: Finding.WAITED,
    WorkerExit.TERMINATED: Finding.TOLD_TO_END,
    CONFIGURATION_ERROR: Finding.CONFIGURATION_ERROR,
    _SIGKILL: Finding.KILLED,
    **dict.fromkeys(CRASHES, Finding.CRASHED),
}


def ending(pod: Pod) -> Finding | None:
    """Why the pod has ended, or is being ended; None while it goes on by itself, and when it ended well."""
    if pod.exit_code == WorkerExit.BAD_INPUT:
        return Finding.BAD_INPUT
    target = next((entry for entry in pod.conditions if entry.type == "DisruptionTarget" and entry.holds), None)
    if target is not None:
        return _disruption(pod, target)
    if pod.exit_code is None or pod.exit_code == WorkerExit.DONE:
        return None
    return _own_ending(pod, pod.exit_code)


def _disruption(pod: Pod, target: Condition) -> Finding:
    if pod.reason in _NODE_GONE or "node shutdown" in target.message:
        return Finding.NODE_LOST
    return Finding.PREEMPTED if "preempted" in target.message else _DISRUPTIONS.get(target.reason, Finding.EVICTED)


def _own_ending(pod: Pod, exit_code: int) -> Finding:
    if pod.reason == "Evicted":
        return Finding.OUT_OF_DISK if _OWN_STORAGE.search(pod.message) else Finding.EVICTED
    if pod.reason in _BY_REASON:
        return _BY_REASON[pod.reason]
    return Finding.REJECTED if _NODE_REFUSED.match(pod.reason) else _BY_CODE.get(exit_code, Finding.FAILED)

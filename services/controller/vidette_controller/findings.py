"""What can be the matter with workers, each finding with its cause in plain words, and what the operator does next.

Texts only: `diagnose` tells which of them a launched job meets. A `cause` is shown to clients too, so it says nothing of names,
images or nodes; a `remedy` is for whoever may run kubectl in the workers' namespace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Finding(StrEnum):
    """Values are labels of metrics and reasons of Events: never rename one."""

    # They keep workers from starting.
    SUSPENDED = "suspended"
    QUOTA = "quota"
    ADMISSION_REFUSED = "admission_refused"
    NO_POD = "no_pod"
    IMAGE_PULL = "image_pull"
    CONFIGURATION_ERROR = "configuration_error"
    NO_GPU = "no_gpu"
    NO_ROOM = "no_room"
    NO_NODE = "no_node"
    TAINT = "taint"
    UNSCHEDULABLE = "unschedulable"
    SLOW_START = "slow_start"

    # They end workers.
    BAD_INPUT = "bad_input"
    OUT_OF_MEMORY = "out_of_memory"
    OUT_OF_DISK = "out_of_disk"
    DEADLINE = "deadline"
    PREEMPTED = "preempted"
    DRAINED = "drained"
    NODE_LOST = "node_lost"
    EVICTED = "evicted"
    REJECTED = "rejected"
    CRASHED = "crashed"
    WAITED = "waited"
    TOLD_TO_END = "told_to_end"
    KILLED = "killed"
    FAILED = "failed"
    GAVE_UP = "gave_up"


class Severity(StrEnum):
    """As Events have it."""

    NORMAL = "Normal"
    """It belongs to the life of a cluster; the job goes on by itself."""
    WARNING = "Warning"


class Wait(StrEnum):
    """How likely a worker that cannot start will start by itself."""

    FOR_ROOM = "for_room"
    """Nodes may be added, and others' pods end."""
    FOR_SOMEBODY = "for_somebody"
    """As a rule somebody has to mend something."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One finding's texts, and what it means for the job.

    `{pod}` and `{job}` stand for a name and the namespace it is in, `{place}` for the namespace alone, all as kubectl takes them.
    """

    cause: str
    remedy: str
    severity: Severity = Severity.WARNING
    wait: Wait | None = None
    """None: it has ended a worker, and keeps none from starting."""
    blameless: bool = False
    """It says nothing against the worker, and so nothing against the job."""


_LOGS = "Read what it wrote: kubectl logs {pod} (its log also goes wherever the cluster's logs go)."
_GOES_ON = "Nothing has to be done: another worker goes on at the last committed chunk."

EXPLANATIONS: Final[Mapping[Finding, Explanation]] = {
    Finding.SUSPENDED: Explanation(
        "the Job of its workers is suspended",
        "Whoever suspended it, e.g. a queue of Jobs, has to resume it: kubectl get job {job} -o yaml; "
        """kubectl patch job {job} -p '{{"spec":{{"suspend":false}}}}'.""",
        wait=Wait.FOR_ROOM,
    ),
    Finding.QUOTA: Explanation(
        "the quota for workers is used up",
        "Raise the quota, or let fewer jobs run at once (VIDETTE_MAX_RUNNING): kubectl describe resourcequota{place}; "
        "kubectl describe job {job}.",
        wait=Wait.FOR_ROOM,
    ),
    Finding.ADMISSION_REFUSED: Explanation(
        "the cluster refuses to make a worker",
        "Make the worker template fit the policy that is named, or the policy fit the template: kubectl describe job {job}.",
        wait=Wait.FOR_SOMEBODY,
    ),
    Finding.NO_POD: Explanation(
        "its Job gets no pod, and no reason is given",
        "Look whether the cluster's job controller works: kubectl describe job {job}; "
        "kubectl get lease kube-controller-manager -n kube-system.",
        wait=Wait.FOR_ROOM,
    ),
    Finding.IMAGE_PULL: Explanation(
        "the worker's image cannot be pulled",
        "Check the image's name in the worker template, the pull secret and the way to the registry: "
        "kubectl describe pod {pod}.",
        wait=Wait.FOR_SOMEBODY,
    ),
    Finding.CONFIGURATION_ERROR: Explanation(
        "the worker's configuration is wrong",
        "Mend what is named, in the worker template or in the settings that workers are told: kubectl describe pod {pod}; "
        "kubectl logs {pod}.",
        wait=Wait.FOR_SOMEBODY,
    ),
    Finding.NO_GPU: Explanation(
        "no node has a free GPU for it",
        "Add GPU nodes or let fewer jobs run at once; a GPU node also needs its device plugin, and tolerations for its "
        "taints: kubectl describe pod {pod}; kubectl describe nodes.",
        wait=Wait.FOR_ROOM,
    ),
    Finding.NO_ROOM: Explanation(
        "no node has room for it",
        "Add nodes, ask for less in the worker template, or let fewer jobs run at once (VIDETTE_MAX_RUNNING): "
        "kubectl describe pod {pod}; kubectl describe nodes.",
        wait=Wait.FOR_ROOM,
    ),
    Finding.NO_NODE: Explanation(
        "no node of the kind it asks for is open to new work",
        "Add or uncordon nodes, or mend the node selector and the affinity in the worker template: kubectl describe pod {pod}; "
        "kubectl get nodes --show-labels.",
        wait=Wait.FOR_ROOM,
    ),
    Finding.TAINT: Explanation(
        "the nodes have taints that it does not tolerate",
        "Add the toleration to the worker template, or take the taint off: kubectl describe pod {pod}; "
        "kubectl get nodes -o custom-columns=NODE:.metadata.name,TAINTS:.spec.taints.",
        wait=Wait.FOR_ROOM,
    ),
    Finding.UNSCHEDULABLE: Explanation(
        "no node takes it",
        "Mend what the scheduler names: kubectl describe pod {pod}; kubectl get nodes.",
        wait=Wait.FOR_ROOM,
    ),
    Finding.SLOW_START: Explanation(
        "it still does not run, and no reason is given",
        "Its events may say why (a volume that cannot be mounted, a network that is not ready, no scheduler): "
        "kubectl describe pod {pod}.",
        wait=Wait.FOR_ROOM,
    ),
    Finding.BAD_INPUT: Explanation(
        "the worker reported that the job cannot succeed",
        "The job's status names the reason; nobody tries again. " + _LOGS,
    ),
    Finding.OUT_OF_MEMORY: Explanation(
        "it took more memory than its limit",
        "Raise the memory limit in the worker template, or set VIDETTE_KUBERNETES_WORKER_MEMORY_RETRY for a second attempt "
        "with more: kubectl describe pod {pod}.",
    ),
    Finding.OUT_OF_DISK: Explanation(
        "it took more disk than its limit",
        "Raise the limit on ephemeral storage, or of the volume, in the worker template: kubectl describe pod {pod}.",
    ),
    Finding.DEADLINE: Explanation(
        "it ran longer than allowed",
        "Raise VIDETTE_DEADLINE_S, or look why it was slow: kubectl logs {pod}; kubectl top pod {pod}.",
    ),
    Finding.PREEMPTED: Explanation(
        "it had to make room for a pod of higher priority",
        _GOES_ON + " If it comes often, give workers a priority class of their own: kubectl describe pod {pod}.",
        Severity.NORMAL,
        blameless=True,
    ),
    Finding.DRAINED: Explanation(
        "it was evicted through the API, as `kubectl drain` does",
        _GOES_ON + " Which nodes are being emptied: kubectl get nodes.",
        Severity.NORMAL,
        blameless=True,
    ),
    Finding.NODE_LOST: Explanation(
        "its node was lost, shut down or tainted",
        _GOES_ON + " What is the matter with the node: kubectl get nodes; kubectl describe pod {pod}.",
        blameless=True,
    ),
    Finding.EVICTED: Explanation(
        "its node ran short of something and evicted it",
        _GOES_ON
        + " If it comes often, let workers request what they use: kubectl describe pod {pod}; kubectl describe nodes.",
        blameless=True,
    ),
    Finding.REJECTED: Explanation(
        "its node would not take it",
        _GOES_ON + " Why the node refused: kubectl describe pod {pod}.",
        blameless=True,
    ),
    Finding.CRASHED: Explanation(
        "the decoder crashed",
        "Two crashes on the same frames fail the job as `invalid_video`; the video may be damaged or hostile. " + _LOGS,
    ),
    Finding.WAITED: Explanation(
        "something it needs was away for longer than its patience",
        "Look whether Triton, the gateway and the store answer; the job goes on when they do. " + _LOGS,
        blameless=True,
    ),
    Finding.TOLD_TO_END: Explanation(
        "it was told to end",
        _GOES_ON
        + " Somebody deleted the pod, or its node shut down: kubectl get events{place} --sort-by=.lastTimestamp.",
        Severity.NORMAL,
        blameless=True,
    ),
    Finding.KILLED: Explanation(
        "it was killed (SIGKILL), and not for its memory limit",
        "Somebody or its node did that, or it did not end within its grace period: kubectl describe pod {pod}; "
        "kubectl describe nodes.",
    ),
    Finding.FAILED: Explanation("it failed", _LOGS),
    Finding.GAVE_UP: Explanation(
        "too many of its pods failed",
        "Kubernetes tries no more, and the controller decides about another attempt. What the pods wrote: "
        "kubectl logs job/{job}; kubectl describe job {job}.",
    ),
}

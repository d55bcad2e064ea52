"""The Python clients of Vidette and the `vidette` command. The errors are in `vidette.errors`, a class for each code."""

from vidette.async_client import AsyncClient
from vidette.client import Client
from vidette.errors import ClientCode, JobFailed, RequestRefused, ServiceFailed, ServiceUnavailable, VidetteError
from vidette.flows import Timeouts
from vidette.models import (
    Detection,
    Differing,
    FrameResult,
    FrameRow,
    JobState,
    JobStatus,
    ModelRef,
    Pipeline,
    ResultFacts,
    TextLine,
    Verification,
)
from vidette.retry import RetryPolicy

__all__ = [
    "AsyncClient",
    "Client",
    "ClientCode",
    "Detection",
    "Differing",
    "FrameResult",
    "FrameRow",
    "JobFailed",
    "JobState",
    "JobStatus",
    "ModelRef",
    "Pipeline",
    "RequestRefused",
    "ResultFacts",
    "RetryPolicy",
    "ServiceFailed",
    "ServiceUnavailable",
    "TextLine",
    "Timeouts",
    "Verification",
    "VidetteError",
]

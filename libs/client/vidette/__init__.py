"""The Python client of Vidette and the `vidette` command."""

from vidette.client import Client, Timeouts
from vidette.errors import ClientCode, VidetteError
from vidette.models import Detection, FrameResult, FrameRow, JobState, JobStatus, ModelRef, ResultFacts, TextLine
from vidette.retry import RetryPolicy

__all__ = [
    "Client",
    "ClientCode",
    "Detection",
    "FrameResult",
    "FrameRow",
    "JobState",
    "JobStatus",
    "ModelRef",
    "ResultFacts",
    "RetryPolicy",
    "TextLine",
    "Timeouts",
    "VidetteError",
]

"""The worker's only way to the rest of Vidette: the gateway's HTTP API, and presigned addresses of the video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import httpx
import structlog
from pydantic import BaseModel, ValidationError

from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.worker_api import (
    ChunkMessage,
    ClaimAnswer,
    ClaimRequest,
    CommitAnswer,
    FinishRequest,
    PlanAnswer,
    PlanRequest,
    PresignedUrl,
    RenewRequest,
    ReportRequest,
    SegmentClaim,
)
from vidette_core.ports.errors import Conflict, Rejected, Unavailable
from vidette_core.ports.jobs import Fenced
from vidette_core.telemetry.tracing import carried
from vidette_frame_worker.backoff import patiently

Answer = TypeVar("Answer", bound=BaseModel)
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_log = structlog.get_logger(__name__)


class Gateway:
    """Thread-safe. Every call waits for a gateway that is away, for `patience_s`, and then raises `Unavailable`.

    `Fenced` means that the fence is not in force any more, and any other `Conflict` that the rows do not fit what was said.
    """

    def __init__(self, url: str, job_token: str, patience_s: float) -> None:
        self._job_token = job_token
        self._patience_s = patience_s
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT)

    def claim(self, pod: str) -> ClaimAnswer:
        return self.ask(ClaimAnswer, "POST", "/v1/claim", self._job_token, ClaimRequest(pod=pod))

    def session(self, claim: SegmentClaim) -> Session:
        return Session(self, claim)

    def ask(self, answer: type[Answer], method: str, path: str, token: str, body: BaseModel | None = None) -> Answer:
        return _understood(answer, self.send(method, path, token, body))

    def send(self, method: str, path: str, token: str, body: BaseModel | None = None) -> httpx.Response:
        content = body.model_dump_json().encode() if body is not None else b""
        return self.send_bytes(method, path, token, content, "application/json", {})

    def send_bytes(
        self, method: str, path: str, token: str, content: bytes, media_type: str, query: Mapping[str, str | int]
    ) -> httpx.Response:
        """The answer to a request that was taken. Raises `Unavailable`, `Fenced`, `Conflict` or `Rejected`."""

        def once() -> httpx.Response:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": media_type, **carried()}
            try:
                response = self._client.request(method, path, params=query, headers=headers, content=content)
            except httpx.HTTPError as error:
                raise Unavailable(f"the gateway does not answer: {type(error).__name__}") from error
            return _checked(response)

        return patiently(
            once, self._patience_s, lambda error: _log.warning("waiting for the gateway", error=str(error))
        )


class Session:
    """The calls that a held segment allows, with its token."""

    def __init__(self, gateway: Gateway, claim: SegmentClaim) -> None:
        self._gateway = gateway
        self._token = claim.session_token

    def source_url(self) -> str:
        """A presigned address of the video; ask again when it has expired."""
        return self._gateway.ask(PresignedUrl, "GET", "/v1/source", self._token).url

    def plan(self, request: PlanRequest) -> int | None:
        """The sample behind the segment's last one; None where only the decoder will know."""
        return self._gateway.ask(PlanAnswer, "POST", "/v1/plan", self._token, request).window_end

    def replan(self) -> None:
        """The index does not hold: all begin anew, with one segment. The fence is not in force any more after it."""
        self._gateway.send("POST", "/v1/replan", self._token)

    def renew(self, samples: int) -> None:
        self._gateway.send("POST", "/v1/renew", self._token, RenewRequest(samples=samples))

    def finish(self, request: FinishRequest) -> None:
        self._gateway.send("POST", "/v1/finish", self._token, request)

    def report(self, request: ReportRequest) -> None:
        self._gateway.send("POST", "/v1/report", self._token, request)

    def commit(self, chunk: ChunkMessage, content: bytes) -> int:
        """Have a chunk stored and committed, and return the next sample expected."""
        query = chunk.model_dump()
        try:
            answer = self._gateway.send_bytes("POST", "/v1/chunks", self._token, content, "application/zstd", query)
        except Fenced:
            raise
        except Conflict as error:  # whose fence is in force and whose chunk has no place has counted wrongly
            raise Rejected(str(error)) from error
        return _understood(CommitAnswer, answer).next_sample


def _understood(answer: type[Answer], response: httpx.Response) -> Answer:
    try:
        return answer.model_validate_json(response.content)
    except ValidationError as error:
        raise Rejected("the gateway's answer cannot be understood; are the versions the same?") from error


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    code = response.headers.get("vidette-error", "")
    answered = f"{response.status_code} {code}".rstrip()
    if code == ErrorCode.FENCED:
        raise Fenced("the gateway refused: another worker has taken over, or the job is over")
    if response.status_code == 409:
        raise Conflict(f"the gateway answered {answered}")
    if response.status_code in (408, 429) or response.status_code >= 500:
        raise Unavailable(f"the gateway answered {answered}")
    raise Rejected(f"the gateway answered {answered}")

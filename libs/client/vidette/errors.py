"""The one exception of the client: what went wrong, for programs (`code`) and for people (`detail`)."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx


class ClientCode(StrEnum):
    """Codes of errors that no server sent. Those of the service are its own, and are passed on as they come."""

    UNREACHABLE = "unreachable"
    """No connection, or it was lost before an answer came."""
    TIMED_OUT = "timed_out"
    """The service did not answer, or the job did not end, within the time limit."""
    BAD_ANSWER = "bad_answer"
    """Something answered, but not a Vidette service."""
    BAD_ADDRESS = "bad_address"
    """The address names no service: no http:// or https://, or not an address at all."""
    BAD_FILE = "bad_file"
    """The file cannot be read, or changed while it was being sent."""


class VidetteError(Exception):
    """A request that did not succeed.

    `status_code` is the HTTP status, or None when no answer came. `code` is the service's machine-readable code, or one of
    `ClientCode`. `detail` is a sentence for people: the cause, and a remedy where there is one. `retry_after` is in seconds.
    """

    def __init__(self, status_code: int | None, code: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.status_code = status_code
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


def is_loopback(base_url: str) -> bool:
    """Whether only this machine can reach the address. Raises `ValueError` for what cannot be read as an address."""
    host = (urlsplit(base_url).hostname or "").removesuffix(".")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def from_transport(error: httpx.RequestError, base_url: str) -> VidetteError:
    """The error for a request that got no answer."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        remedy = (
            "Is it running? Start it with: make up"
            if is_loopback(base_url)
            else "Check the address, and that the service is running."
        )
        return VidetteError(None, ClientCode.UNREACHABLE, f"Nothing answers at {base_url}. {remedy}")
    if isinstance(error, httpx.TimeoutException):
        return VidetteError(
            None, ClientCode.TIMED_OUT, f"{base_url} did not answer within the time limit. Try again in a while."
        )
    if isinstance(error, httpx.UnsupportedProtocol):
        return bad_address(base_url)
    return VidetteError(
        None,
        ClientCode.UNREACHABLE,
        f"The connection to {base_url} was lost before the answer was complete. Try again.",
    )


def bad_address(base_url: str) -> VidetteError:
    detail = f"{base_url} is no address of a service. One looks like http://127.0.0.1:8000 or https://vidette.example."
    return VidetteError(None, ClientCode.BAD_ADDRESS, detail)


def from_response(response: httpx.Response, retry_after: Callable[[httpx.Headers], float | None]) -> VidetteError:
    """The error that an unsuccessful answer carries; the response has been read."""
    status = response.status_code
    if response.has_redirect_location:
        detail = f"{_origin(response.url)} redirects to {_origin(response.url.join(response.headers['location']))}. Use that."
        return VidetteError(status, ClientCode.BAD_ANSWER, detail)
    code = response.headers.get("Vidette-Error")
    try:
        body = response.json()
    except ValueError:
        body = None
    said = body.get("detail") if isinstance(body, dict) else None
    if code is None and not isinstance(said, str):
        detail = f"{_origin(response.url)} answered {status}, but not as a Vidette service does. Check the address."
        return VidetteError(status, ClientCode.BAD_ANSWER, detail, retry_after(response.headers))
    sentence = said if isinstance(said, str) else f"The service answered {status}."
    return VidetteError(status, code or f"http_{status}", sentence, retry_after(response.headers))


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"

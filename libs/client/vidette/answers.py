"""From what httpx brings to what the client's user sees: models of answers, and errors. Pure, and shared by both clients."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from vidette.errors import ClientCode, VidetteError, own_error, refusal
from vidette.retry import read_retry_after

Model = TypeVar("Model", bound=BaseModel)


def read(model: type[Model], text: bytes, base_url: str) -> Model:
    """Raises `BadAnswer` for what is no such model."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise unreadable(base_url) from error


def unreadable(base_url: str) -> VidetteError:
    return own_error(ClientCode.BAD_ANSWER, f"{base_url} does not answer as a Vidette service does.")


def bad_address(base_url: str) -> VidetteError:
    detail = f"{base_url} is no address of a service. One looks like http://127.0.0.1:8000 or https://vidette.example."
    return own_error(ClientCode.BAD_ADDRESS, detail)


def is_loopback(base_url: str) -> bool:
    """Whether only this machine can reach the address. Raises `ValueError` for what cannot be read as an address."""
    host = (urlsplit(base_url).hostname or "").removesuffix(".")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def from_transport(error: httpx.RequestError, base_url: str) -> VidetteError:
    """The error for a request that got no answer, or not all of it."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        remedy = (
            "Is it running? Start it with: make up"
            if is_loopback(base_url)
            else "Check the address, and that the service is running."
        )
        return own_error(ClientCode.UNREACHABLE, f"Nothing answers at {base_url}. {remedy}")
    if isinstance(error, httpx.TimeoutException):
        detail = f"{base_url} did not answer within the time limit. Try again in a while."
        return own_error(ClientCode.TIMED_OUT, detail)
    if isinstance(error, httpx.UnsupportedProtocol):
        return bad_address(base_url)
    detail = f"The connection to {base_url} was lost before the answer was complete. Try again."
    return own_error(ClientCode.CONNECTION_LOST, detail)


def from_response(response: httpx.Response) -> VidetteError:
    """The error that an unsuccessful answer carries; the response has been read."""
    status, origin = response.status_code, _origin(response.url)
    if response.has_redirect_location:
        there = _origin(response.url.join(response.headers["location"]))
        return own_error(ClientCode.BAD_ANSWER, f"{origin} redirects to {there}. Use that.", status)
    code = response.headers.get("Vidette-Error")
    said = _detail(response)
    if code is not None or said is not None:
        sentence = said or f"The service answered {status}."
        return refusal(status, code or f"http_{status}", sentence, read_retry_after(response.headers))
    if status in {502, 503, 504}:
        detail = f"What stands before the service at {origin} does not reach it (HTTP {status}). Try again in a while."
        return refusal(status, f"http_{status}", detail, read_retry_after(response.headers))
    detail = f"{origin} answered {status}, but not as a Vidette service does. Check the address."
    return own_error(ClientCode.BAD_ANSWER, detail, status)


def _detail(response: httpx.Response) -> str | None:
    try:
        body = response.json()
    except ValueError:
        return None
    said = body.get("detail") if isinstance(body, dict) else None
    return said if isinstance(said, str) else None


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"

"""The way to the API server: credentials and TLS as the official client finds them, requests and watches as raw JSON.

Typed models cost seconds and hundreds of megabytes for 10,000 Jobs, and the client's own watches wait for ever on a silent peer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config
from yaml import YAMLError

from vidette_core.ports.errors import Conflict, NotFound, PortError, Rejected, Unavailable

Json = dict[str, Any]
_MOST_MESSAGE = 500
_LONGEST_LINE = 4 * 2**20
"""Bytes of one watch event. An object may have 1.5 MiB in etcd, and its JSON somewhat more."""
_NOT_NOW = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
"""401 too: a token that was renewed a moment ago is not known everywhere yet."""


class Gone(PortError):
    """What was asked for is too old to be known: a list has to be begun anew (HTTP 410)."""


class KubeConnection:
    """Raw JSON requests to one API server. Every call has a time limit.

    Raises:
        Unavailable: no answer, or one that says "not now" (5xx, 429, 401).
        NotFound, Conflict, Gone: 404, 409, 410.
        Rejected: any other refusal, with the server's own words.
    """

    def __init__(self, api: client.ApiClient, timeout_s: float) -> None:
        self._api = api
        self._timeout_s = timeout_s

    @classmethod
    async def open(cls, kubeconfig: Path | None, timeout_s: float) -> Self:
        """By this kubeconfig, or, without one, as the pod's own service account. Raises `Unavailable` when neither works."""
        configuration = client.Configuration()
        try:
            if kubeconfig is None:
                config.load_incluster_config(client_configuration=configuration)
            else:
                await config.load_kube_config(
                    config_file=str(kubeconfig), client_configuration=configuration, persist_config=False
                )
            return cls(client.ApiClient(configuration=configuration), timeout_s)
        except (config.ConfigException, YAMLError, OSError, ValueError, TypeError) as error:
            raise Unavailable(f"the way to the API server is not known: {_shortened(error)}") from error

    async def close(self) -> None:
        await self._api.close()

    async def get(self, path: str, query: Mapping[str, str | int]) -> Json:
        return await self._ask("GET", path, query=query)

    async def post(self, path: str, body: Json) -> Json:
        return await self._ask("POST", path, body=body)

    async def patch(self, path: str, body: Json, content_type: str) -> Json:
        return await self._ask("PATCH", path, body=body, content_type=content_type)

    async def delete(self, path: str, body: Json) -> Json:
        return await self._ask("DELETE", path, body=body)

    async def watch(self, path: str, query: Mapping[str, str | int], silence_s: float) -> AsyncGenerator[Json, None]:
        """The events of a watch, until the server ends it. `Unavailable` too after `silence_s` without a word."""
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_s, sock_read=silence_s)
        async with self._answer("GET", path, limits, {**query, "watch": "true"}) as response:
            async for line in _lines(response.content):
                yield _parsed(line)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        limits = aiohttp.ClientTimeout(total=self._timeout_s)
        async with self._answer(method, path, limits, query or {}, body, content_type) as response:
            return _parsed(await response.read())

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        limits: aiohttp.ClientTimeout,
        query: Mapping[str, str | int],
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        url = f"{self._api.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            answer = await self._api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=limits
            )
            response: aiohttp.ClientResponse = answer.response
            try:
                if response.status >= HTTPStatus.BAD_REQUEST:
                    async with asyncio.timeout(self._timeout_s):
                        body_read = await response.read()
                    raise _refusal(response.status, body_read, headers)
                yield response
            finally:
                response.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"the API server does not answer ({type(error).__name__})") from error
        except config.ConfigException as error:
            raise Unavailable(f"there are no credentials for the API server: {_shortened(error)}") from error


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """aiohttp's own lines may not be longer than its buffer, which is not ours to choose."""
    rest = bytearray()
    async for piece in content.iter_any():
        *whole, last = piece.split(b"\n")
        for part in whole:
            rest += part
            if rest:
                yield bytes(rest)
            rest.clear()
        rest += last
        if len(rest) > _LONGEST_LINE:
            raise Unavailable(f"the API server sent an event of more than {_LONGEST_LINE} bytes")


def _parsed(text: bytes) -> Json:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Unavailable("the API server's answer is no JSON") from error
    if not isinstance(found, dict):
        raise Unavailable("the API server's answer is no object")
    return found


def _shortened(text: object) -> str:
    return " ".join(str(text).split())[:_MOST_MESSAGE]


def _refusal(status: int, body: bytes, sent: Mapping[str, str]) -> PortError:
    try:
        told = json.loads(body)
        message, reason = str(told["message"]), str(told.get("reason", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        message, reason = body.decode(errors="replace"), ""
    for name, value in sent.items():
        if name.lower() == "authorization":  # a proxy may tell back what it was sent
            message = message.replace(value.rpartition(" ")[2], "[credentials]")
    words = f"the API server answers {status}: {_shortened(message)}"
    match status:
        case HTTPStatus.NOT_FOUND:
            return NotFound(words)
        case HTTPStatus.CONFLICT if "resourcequotas" in message and reason != "AlreadyExists":
            return Unavailable(
                words
            )  # k8s.io/apiserver/pkg/admission/plugin/resourcequota: others counted at the same time
        case HTTPStatus.CONFLICT:
            return Conflict(words)
        case HTTPStatus.GONE:
            return Gone(words)
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _NOT_NOW:
            return Unavailable(words)
        case _:
            return Rejected(words)

"""Clients that repeat nothing: some who ask the whole time, one who uploads for as long as it is told to, and their answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from tests.support.stacks import PIPELINE_ID

_PAUSE_S = 0.2
_TRICKLE = 1024
_HEAD = (
    f'--x\r\nContent-Disposition: form-data; name="pipeline_id"\r\n\r\n{PIPELINE_ID}\r\n'
    '--x\r\nContent-Disposition: form-data; name="max_frames"\r\n\r\n{}\r\n'
    '--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
)
_END = b"\r\n--x--\r\n"
_PADDING = 6 * 2**20
"""A box that every reader skips: more than one part of an upload."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is None where there was none; then `words` says why."""

    asked: str
    at: float
    seconds: float
    status: int | None
    words: str
    code: str | None = None
    retry_after: str | None = None

    @classmethod
    def to(cls, asked: str, began: float, response: httpx.Response) -> Self:
        headers = response.headers
        words = "" if response.is_success else response.text[:200]
        seconds = time.monotonic() - began
        return cls(
            asked, began, seconds, response.status_code, words, headers.get("vidette-error"), headers.get("retry-after")
        )

    @classmethod
    def none(cls, asked: str, began: float, error: httpx.TransportError) -> Self:
        return cls(asked, began, time.monotonic() - began, None, f"{type(error).__name__}: {error}")

    @property
    def says_come_again(self) -> bool:
        return self.status == 503 and bool(self.code) and (self.retry_after or "").isdigit()


class Asking:
    """What those who ask were answered so far."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self.answers: list[Answer] = []

    def all_answered_since(self, begin: float) -> bool:
        """Whether each path was answered with 200 to a request that began later."""
        answered = {answer.asked for answer in list(self.answers) if answer.at > begin and answer.status == 200}
        return answered == set(self._paths)


@contextmanager
def asking(url: str, paths: Sequence[str], limit_s: float) -> Iterator[Asking]:
    """One client for each path, who has no patience beyond `limit_s`."""
    seen, over = Asking(paths), threading.Event()

    def ask(path: str) -> None:
        with httpx.Client(base_url=url, timeout=limit_s, trust_env=False, verify=False) as http:
            while not over.wait(_PAUSE_S):
                seen.answers.append(_answered(http, httpx.Request("GET", f"{url}{path}"), path))

    with ThreadPoolExecutor(len(paths)) as pool:
        ends = [pool.submit(ask, path) for path in paths]
        try:
            yield seen
        finally:
            over.set()
    for end in ends:
        end.result()


class Uploading:
    """An upload of several parts that trickles until it is told to go on."""

    def __init__(self, url: str, clip: Path, max_frames: int, limit_s: float) -> None:
        self._url, self._limit_s = url, limit_s
        padding = (_PADDING + 8).to_bytes(4, "big") + b"free" + bytes(_PADDING)
        self._head, self._file = _HEAD.format(max_frames).encode(), clip.read_bytes() + padding
        self._goes_on = threading.Event()

    def go_on(self) -> None:
        self._goes_on.set()

    def run(self) -> Answer:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        with httpx.Client(timeout=self._limit_s, trust_env=False, verify=False) as http:
            request = http.build_request("POST", f"{self._url}/video/submit", content=self._form(), headers=headers)
            return _answered(http, request, "submit")

    def _form(self) -> Iterator[bytes]:
        yield self._head
        sent = 0
        while not self._goes_on.wait(_PAUSE_S) and sent < _PADDING:
            yield self._file[sent : sent + _TRICKLE]
            sent += _TRICKLE
        yield self._file[sent:]
        yield _END


@contextmanager
def uploading(url: str, clip: Path, max_frames: int, limit_s: float) -> Iterator[tuple[Uploading, Future[Answer]]]:
    """A submission under way, and its answer to come. It goes on at the end of the block at the latest."""
    upload = Uploading(url, clip, max_frames, limit_s)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(upload.run)
        try:
            yield upload, answer
        finally:
            upload.go_on()


def _answered(http: httpx.Client, request: httpx.Request, asked: str) -> Answer:
    began = time.monotonic()
    try:
        return Answer.to(asked, began, http.send(request))
    except httpx.TransportError as error:
        return Answer.none(asked, began, error)

"""An upload that takes its time, as over a slow line: a small piece a second for as long as it is told to, then the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import httpx

from tests.support.stacks import PIPELINE_ID

_PIECE = 1536
"""Above the least that the api takes in a second (VIDETTE_UPLOAD_MIN_BYTES_PER_S)."""
_PADDING = (256 * 1024).to_bytes(4, "big") + b"free" + bytes(256 * 1024 - 8)
"""A box that every reader skips: enough for three minutes."""


def submitted_slowly(url: str, clip: Path, goes_on: Callable[[], bool]) -> UUID | None:
    """The job of an upload that is slow while `goes_on()`; None if it was broken off."""
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with httpx.Client(timeout=60, trust_env=False) as client:
        try:
            answer = client.post(
                f"{url}/video/submit", content=_form(clip.read_bytes() + _PADDING, goes_on), headers=headers
            )
        except httpx.TransportError:
            return None
    return UUID(answer.json()["job_id"]) if answer.status_code == 200 else None


def _form(body: bytes, goes_on: Callable[[], bool]) -> Iterator[bytes]:
    yield f'--x\r\nContent-Disposition: form-data; name="pipeline_id"\r\n\r\n{PIPELINE_ID}\r\n'.encode()
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
    sent = 0
    while goes_on() and sent < len(body) - _PIECE:
        yield body[sent : sent + _PIECE]
        sent += _PIECE
        time.sleep(1)
    yield body[sent:]
    yield b"\r\n--x--\r\n"

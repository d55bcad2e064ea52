"""Asking a running stack what runs, and telling it to stop: `vidette ps` and `vidette down`."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import Any

import httpx

from vidette_local.home import Home

DOWN_SECONDS = 40.0
_ASK_SECONDS = 5.0


class NoAnswer(Exception):
    """A supervisor holds the state folder and does not answer, or does not end."""


def ps(home: Home) -> list[dict[str, Any]]:
    """Name, pid, state and address of each part and worker; empty when nothing runs. Raises `NoAnswer`."""
    pid = home.holder()
    if pid is None:
        return []
    deadline = time.monotonic() + _ASK_SECONDS
    while True:
        try:
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(home.socket)), timeout=_ASK_SECONDS) as client:
                answer = client.get("http://supervisor/parts").raise_for_status().json()
        except httpx.HTTPError as error:
            if home.holder() is None:
                return []
            if time.monotonic() > deadline:
                raise NoAnswer(f"the stack (process {pid}) does not answer on {home.socket}") from error
            time.sleep(0.1)  # it may be starting: its socket comes soon after its lock
        else:
            return list(answer)


def down(home: Home) -> int | None:
    """Stop the stack and wait until it is gone; returns its pid, or None when nothing ran. Raises `NoAnswer`."""
    pid = home.holder()
    if pid is None:
        return None
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_SECONDS
    while home.holder() == pid:
        if time.monotonic() > deadline:
            raise NoAnswer(f"process {pid} did not end within {DOWN_SECONDS:g} s. Kill it: kill -9 {pid}")
        time.sleep(0.05)
    return pid

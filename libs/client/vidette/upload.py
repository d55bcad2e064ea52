"""Sending a file and listening at the same time.

The service refuses what is no video after the first bytes. A client that only writes would go on to the last byte of a large
file before it reads that, or would find the connection closed and the answer lost. So each piece of the file is sent only
after a look at the socket: once something has come back, the rest is not sent and the answer is read.
"""

from __future__ import annotations

import io
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpcore

from vidette.errors import ClientCode, VidetteError

Progress = Callable[[int, int], None]
"""Called with the bytes sent and the bytes in all."""
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def size_of(path: Path) -> int:
    """Bytes of a regular file. Raises `VidetteError` for everything else: a pipe would be waited for, and has no size."""
    try:
        facts = path.stat()
    except FileNotFoundError as error:
        raise VidetteError(None, ClientCode.BAD_FILE, f"{path} does not exist.") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise VidetteError(None, ClientCode.BAD_FILE, f"{path} cannot be read: {why}.") from error
    if stat.S_ISREG(facts.st_mode):
        return facts.st_size
    kind = (
        "a folder"
        if stat.S_ISDIR(facts.st_mode)
        else "a pipe"
        if stat.S_ISFIFO(facts.st_mode)
        else "a device or socket"
    )
    raise VidetteError(
        None, ClientCode.BAD_FILE, f"{path} is {kind}. Only a regular file can be sent: save the video in one."
    )


def sent_name(path: Path) -> str:
    """The file's name as Unicode text: what is no UTF-8 in it is replaced, since a request can only carry text."""
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", path.name)


class Listener:
    """Knows whether the server has said something on the connection of one request.

    `trace` is httpx's request extension of that name. Over TLS nothing is known: there, session tickets make the socket
    readable before any answer, and an early answer is read when the server closes.
    """

    def __init__(self) -> None:
        self._stream: httpcore.NetworkStream | None = None

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._stream = info["return_value"]
        elif event.endswith("start_tls.complete"):
            self._stream = None

    def has_answer(self) -> bool:
        return self._stream is not None and bool(self._stream.get_extra_info("is_readable"))


class OutgoingFile(io.FileIO):
    """A file that reports how much of it was read, and ends the sending when the server has answered.

    It ends it with httpcore's own `WriteError`: on a failed write httpcore turns to reading the answer, which is what is
    wanted here, and then closes the connection.
    """

    def __init__(self, path: Path, listener: Listener, on_progress: Progress | None) -> None:
        size = size_of(path)
        super().__init__(path, "rb")
        self._listener = listener
        self._on_progress = on_progress
        self._total = size
        self._sent = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if self._listener.has_answer():
            raise httpcore.WriteError("the server answered before the body was through")
        piece = super().read(-1 if size is None else size) or b""
        self._sent += len(piece)
        if self._on_progress is not None and piece:
            self._on_progress(self._sent, self._total)
        return piece

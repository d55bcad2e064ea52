"""Sending a file and listening at the same time.

The service refuses what is no video after the first bytes. A client that only writes would go on to the last byte of a large
file before it reads that, or would find the connection closed and the answer lost. So each piece of the file is sent only
after a look at the socket: once something has come back, the rest is not sent and the answer is read.
"""

from __future__ import annotations

import re
import secrets
import socket
import stat
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import httpcore
import httpx

from vidette.errors import ClientCode, own_error

Progress = Callable[[int, int], None]
"""Called with the bytes sent and the bytes in all."""
PIECE: Final = 256 * 1024
"""Bytes read and sent at once: few enough to notice a refusal soon."""
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""How a browser writes these in a multipart header (WHATWG HTML, "multipart/form-data encoding algorithm")."""


def size_of(path: Path) -> int:
    """Bytes of a regular file. Raises `BadFile` for everything else: a pipe would be waited for, and has no size."""
    try:
        facts = path.stat()
    except FileNotFoundError as error:
        raise own_error(ClientCode.BAD_FILE, f"{path} does not exist.") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise own_error(ClientCode.BAD_FILE, f"{path} cannot be read: {why}.") from error
    if stat.S_ISREG(facts.st_mode):
        return facts.st_size
    kind = (
        "a folder"
        if stat.S_ISDIR(facts.st_mode)
        else "a pipe"
        if stat.S_ISFIFO(facts.st_mode)
        else "a device or socket"
    )
    detail = f"{path} is {kind}. Only a regular file can be sent: save the video in one."
    raise own_error(ClientCode.BAD_FILE, detail)


class Listener:
    """Knows the connection of one request: whether the server has said something on it, and how to hang up.

    `trace` is httpx's request extension of that name. Over TLS it is not known what was said: there, session tickets make the
    socket readable before any answer, and an early answer is read when the server closes.
    """

    def __init__(self) -> None:
        self._stream: httpcore.NetworkStream | None = None
        self._tls = False

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._stream = info["return_value"]
        elif event.endswith("start_tls.complete"):
            self._stream, self._tls = info["return_value"], True

    def has_answer(self) -> bool:
        return self._stream is not None and not self._tls and bool(self._stream.get_extra_info("is_readable"))

    def hang_up(self) -> None:
        """From any thread: one that waits on the connection goes on at once, with an error."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


class Upload:
    """The body of one submission, as `multipart/form-data` in the order in which curl sends it: the file first.

    Iterates over the body's pieces, once. Iterating raises `BadFile` when the file cannot be read to its end or changes
    meanwhile, and httpcore's own `WriteError` when the server has answered: on a failed write httpcore turns to reading the
    answer, which is what is wanted here, and then closes the connection.

    `on_progress` is called with bytes of the file once they are sent.
    """

    def __init__(self, path: Path, fields: Mapping[str, str], on_progress: Progress | None) -> None:
        self.listener = Listener()
        self._path = path
        self._size = size_of(path)
        self._on_progress = on_progress
        self._passed = 0
        self._aborted = False
        boundary = secrets.token_hex(16)
        name = _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", path.name).translate(_ESCAPES)
        file_head = f'name="file"; filename="{name}"\r\nContent-Type: application/octet-stream'
        parts = [
            f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{fields[key]}' for key in fields
        ]
        self._head = f"--{boundary}\r\nContent-Disposition: form-data; {file_head}\r\n\r\n".encode()
        self._tail = "".join([*parts, f"\r\n--{boundary}--\r\n"]).encode(errors="replace")
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._head) + self._size + len(self._tail)),
        }

    def __iter__(self) -> Generator[bytes]:
        with closing(self._pieces()) as pieces:
            for piece in pieces:
                self._look()
                yield piece
                self._report(piece)

    def abort(self) -> None:
        """From any thread: nothing more is sent. What waits for the connection fails with an `httpx.RequestError`."""
        self._aborted = True
        self.listener.hang_up()

    def _pieces(self) -> Generator[bytes]:
        yield self._head
        left = self._size
        try:
            with self._path.open("rb", buffering=0) as file:
                while piece := file.read(PIECE):
                    left -= len(piece)
                    if left < 0:
                        break
                    yield piece
        except OSError as error:
            detail = f"{self._path} cannot be read to its end: {error.strerror}."
            raise own_error(ClientCode.BAD_FILE, detail) from error
        if left != 0:
            detail = "The file changed while it was being sent. Send it again once it is complete."
            raise own_error(ClientCode.BAD_FILE, detail)
        yield self._tail

    def _look(self) -> None:
        if self._aborted:
            raise httpx.WriteError("the upload was given up")
        if self.listener.has_answer():
            raise httpcore.WriteError("the server answered before the body was through")

    def _report(self, piece: bytes) -> None:
        self._passed += len(piece)
        if self._on_progress is not None:
            self._on_progress(min(max(self._passed - len(self._head), 0), self._size), self._size)

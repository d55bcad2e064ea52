"""A way to a server that breaks off once, in the middle of an answer: in threads, so that synchronous tests can use it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE = 4096


@contextmanager
def cutting_way(host: str, port: int, after: int) -> Iterator[str]:
    """The URL of a proxy. Its first connection is closed after so many bytes of answers; the later ones are whole."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=_serve, args=(listener, (host, port), after), daemon=True)
        serving.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    serving.join(10)


def _serve(listener: socket.socket, there: tuple[str, int], after: int) -> None:
    allowed: int | None = after
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        far = socket.create_connection(there, timeout=30)
        for source, sink, most in ((near, far, None), (far, near, allowed)):
            threading.Thread(target=_carry, args=(source, sink, most), daemon=True).start()
        allowed = None


def _carry(source: socket.socket, sink: socket.socket, most: int | None) -> None:
    """Until the source ends or `most` bytes are over; then both are done with."""
    carried = 0
    with suppress(OSError):
        while (most is None or carried < most) and (piece := source.recv(PIECE)):
            part = piece if most is None else piece[: most - carried]
            sink.sendall(part)
            carried += len(part)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)

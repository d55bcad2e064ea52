"""A way to a server that breaks off once, in the middle of an answer: in a thread, so that synchronous tests can use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.tcp_proxy import TcpProxy


@contextmanager
def cutting_way(host: str, port: int, after: int) -> Iterator[str]:
    """The URL of a proxy. Its first connection is closed after so many bytes of answers; the later ones are whole."""
    with TcpProxy(host, port) as proxy:
        proxy.break_off_after(after)
        yield proxy.url

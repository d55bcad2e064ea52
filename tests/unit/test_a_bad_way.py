"""What `tests.support.tcp_proxy` does to a connection in each of its modes, since tests of faults rely on it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support.processes import wait_until
from tests.support.tcp_proxy import Mode, TcpProxy

WAIT_S = 0.3
LONG = bytes(1_000_000)


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that answers what it is sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def way(echo: int) -> Iterator[TcpProxy]:
    with TcpProxy("127.0.0.1", echo) as proxy:
        yield proxy


def _serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection, suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            connection.sendall(piece)


def connected(way: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", way.port), timeout=WAIT_S)


def answer(connection: socket.socket) -> bytes:
    connection.settimeout(10)
    return connection.recv(100)


def assert_silent(connection: socket.socket) -> None:
    connection.settimeout(WAIT_S)
    with pytest.raises(TimeoutError):
        connection.recv(1)


def test_a_good_way_carries_everything_and_both_ends(way: TcpProxy) -> None:
    with connected(way) as client:
        sending = threading.Thread(target=client.sendall, args=(LONG,))
        client.settimeout(10)
        sending.start()
        got = 0
        while got < len(LONG):
            got += len(client.recv(65536))
        sending.join(10)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert (way.accepted, way.met) == (1, 0)


def test_a_cut_way_resets_old_connections_and_new_ones(way: TcpProxy) -> None:
    with connected(way) as old:
        old.sendall(b"1")
        assert answer(old) == b"1"
        with way.during(Mode.CUT):
            with pytest.raises(ConnectionResetError):
                old.recv(1)
            with pytest.raises(ConnectionResetError), connected(way) as new:
                new.recv(1)
    with connected(way) as later:
        later.sendall(b"2")
        assert answer(later) == b"2"


@pytest.mark.parametrize("mode", [Mode.HANG, Mode.HALF_OPEN])
def test_what_is_held_back_arrives_when_the_way_is_good_again(way: TcpProxy, mode: Mode) -> None:
    with connected(way) as old:
        old.sendall(b"0")
        assert answer(old) == b"0"
        with way.during(mode), connected(way) as new:
            for connection in (old, new):
                connection.sendall(b"1")
                assert_silent(connection)
            assert way.met >= 2
            way.be(Mode.PASS)
            assert (answer(old), answer(new)) == (b"1", b"1")


def test_a_half_open_way_brings_the_server_what_the_client_sends() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, TcpProxy("127.0.0.1", listener.getsockname()[1]) as way, connected(way) as client:
        server, _ = listener.accept()
        with server, way.during(Mode.HALF_OPEN):
            client.sendall(b"1")
            assert answer(server) == b"1"
            server.close()
            assert_silent(client)
        assert answer(client) == b"", "the server's close is told when the way is good again"


def test_a_mute_way_never_answers_those_who_asked_meanwhile(way: TcpProxy) -> None:
    with connected(way) as old, connected(way) as idle:
        for connection in (old, idle):
            connection.sendall(b"0")
            assert answer(connection) == b"0"
        with way.during(Mode.MUTE), connected(way) as new:
            old.sendall(b"1")
            new.sendall(b"1")
            wait_until(lambda: way.met >= 2, 10, "both have met it")
            way.be(Mode.PASS)
            assert_silent(old)
            assert_silent(new)
        idle.sendall(b"2")
        assert answer(idle) == b"2"


def test_a_slow_way_carries_a_few_bytes_at_a_time(echo: int) -> None:
    with TcpProxy("127.0.0.1", echo, bytes_per_s=100) as way, connected(way) as client, way.during(Mode.SLOW):
        client.sendall(bytes(40))
        assert len(answer(client)) <= 10


def test_a_way_breaks_off_once_after_so_many_bytes(way: TcpProxy) -> None:
    way.break_off_after(3)
    with connected(way) as first, connected(way) as second:
        for client in (first, second):
            client.sendall(b"hello")
        first.settimeout(10)
        assert first.makefile("rb").read() == b"hel"
        assert answer(second) == b"hello"

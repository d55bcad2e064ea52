"""What a worker's confinement forbids and leaves, as far as that can be told without a kernel."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import pytest

from vidette_frame_worker.confinement import landlock, syscalls
from vidette_frame_worker.confinement.paths import SYSTEM, wanted
from vidette_frame_worker.confinement.syscalls import FORBIDDEN, Instruction, program

READ, WRITE, CLONE, SOCKET, CLONE3 = 0, 1, 56, 41, 435
THREAD, PROCESS = 0x3D0F00, 0x1200011
"""Flags with which glibc 2.36 makes the one and the other."""


def verdict(number: int, *arguments: int, architecture: int = syscalls.ARCHITECTURE) -> Instruction:
    """What the filter returns, by the rules of the classic packet filter."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *(*arguments, *(6 - len(arguments)) * (0,)))
    filter_, at, held = list(program()), 0, 0
    while True:
        step = filter_[at]
        match step.code:
            case syscalls.RETURN:
                return step
            case syscalls.LOAD:
                (held,) = struct.unpack_from("=I", data, step.value)
                holds = None
            case syscalls.MASK:
                held &= step.value
                holds = None
            case syscalls.EQUAL:
                holds = held == step.value
            case syscalls.AT_LEAST:
                holds = held >= step.value
            case syscalls.ANY_BIT:
                holds = held & step.value != 0
            case _:
                raise AssertionError(step)
        at += 1 + (0 if holds is None else step.skip_if if holds else step.skip_else)


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_is_forbidden_is_refused(name: str) -> None:
    assert verdict(FORBIDDEN[name]) == syscalls.REFUSED


def test_everything_else_is_allowed_whatever_its_arguments_are() -> None:
    others = set(range(470)) - {*FORBIDDEN.values(), CLONE, SOCKET, CLONE3}
    assert {verdict(number, 1, 2, 3) for number in others} == {syscalls.ALLOWED}


def test_threads_are_started_and_processes_are_not() -> None:
    assert verdict(CLONE, THREAD) == syscalls.ALLOWED
    assert verdict(CLONE, PROCESS) == syscalls.REFUSED
    assert verdict(CLONE3) == syscalls.UNKNOWN, "so that libraries use the call whose flags can be seen"


@pytest.mark.parametrize(
    ("family", "kind", "answer"),
    [
        (2, 1, syscalls.ALLOWED),
        (10, 1 | 0x80000, syscalls.ALLOWED),
        (2, 2 | 0x800, syscalls.ALLOWED),
        (16, 3, syscalls.ALLOWED),
        (2, 3, syscalls.REFUSED),
        (10, 5, syscalls.REFUSED),
        (1, 1, syscalls.REFUSED),
        (17, 3, syscalls.REFUSED),
        (38, 5, syscalls.REFUSED),
        (40, 1, syscalls.REFUSED),
    ],
    ids=["tcp", "tcp6", "udp", "netlink", "raw", "sctp", "unix", "packet", "alg", "vsock"],
)
def test_sockets_are_of_the_internet(family: int, kind: int, answer: Instruction) -> None:
    assert verdict(SOCKET, family, kind) == answer


def test_calls_by_another_numbering_are_refused() -> None:
    assert verdict(READ, architecture=0x40000003) == syscalls.REFUSED
    assert verdict(0x40000000 + WRITE) == syscalls.REFUSED


@pytest.mark.parametrize(("version", "fields"), [(1, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3), (99, 3)])
def test_an_older_kernel_is_not_asked_for_what_came_later(version: int, fields: int) -> None:
    assert len(landlock.handled(version).packed()) == 8 * fields


def test_a_newer_interface_forbids_more_and_never_less() -> None:
    each = [landlock.handled(version) for version in range(1, 8)]
    for older, newer in pairwise(each):
        assert all(before & after == before for before, after in zip(older, newer, strict=True))


def test_modules_are_readable_and_the_working_directory_is_not(tmp_path: Path) -> None:
    home, modules = tmp_path / "home", tmp_path / "modules"
    found = list(wanted([home, modules, Path()], home, {}))
    assert modules in found
    assert set(SYSTEM) <= set(found)
    assert not {home, Path()} & set(found)


def test_named_certificates_are_readable_and_in_a_mounted_volume_those_that_come_later_too(tmp_path: Path) -> None:
    alone, mounted = tmp_path / "home" / "ca.pem", tmp_path / "mounted" / "ca.pem"
    (mounted.parent / "..data").mkdir(parents=True)
    found = list(wanted([], tmp_path, {"SSL_CERT_FILE": str(alone), "REQUESTS_CA_BUNDLE": str(mounted)}))
    assert {alone, mounted.parent} <= set(found)
    assert alone.parent not in found

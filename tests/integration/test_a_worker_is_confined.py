"""Whoever takes a worker over by its decoder can write no file, read no secret, start no program and reach no other process.

Each attempt is made twice by a process of its own: unconfined, as the control, where it succeeds, and confined. What came with a
later version of Landlock than this machine's kernel has is expected to succeed, as `docs/adr/0023` says it does.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

import vidette_frame_worker
from vidette_core.domain.worker_api import WorkerExit
from vidette_core.settings import CONFIGURATION_ERROR
from vidette_frame_worker.confinement import ON, kernel
from vidette_frame_worker.confinement.syscalls import MACHINE

LANDLOCK = {
    "read a secret": 1,
    "list a folder": 1,
    "write a new file": 1,
    "write an old file": 1,
    "truncate a file": 3,
    "remove a file": 1,
    "make a folder": 1,
    "read the memory of its parent": 1,
    "listen": 4,
    "signal its parent": 6,
}
"""By the version of its interface."""
SECCOMP = {
    "run a shell",
    "fork",
    "run without a fork",
    "reach a socket in the file system",
    "trace",
    "read the memory of a process",
    "run from memory",
}
STILL_DONE = {
    "read a library",
    "start a thread",
    "connect",
    "look up a name",
    "throw away",
    "make a pair of sockets",
    "signal itself",
}
PROGRAM = """
import ctypes, json, mmap, os, signal, socket, subprocess, sys, threading
from pathlib import Path

confined, folder, port = sys.argv[1] == "confined", Path(sys.argv[2]), int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    if libc.syscall(ctypes.c_long(number), *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def fork():
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)

def posix_spawn():
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)

def unix():
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(str(folder / "socket"))

def thread():
    started = threading.Thread(target=lambda: None)
    started.start()
    started.join()

def listen():
    socket.create_server(("127.0.0.1", 0)).close()

def own_memory():
    source, target = ctypes.create_string_buffer(b"x"), ctypes.create_string_buffer(1)
    vector = ctypes.c_ulong * 2
    from_, to = vector(ctypes.addressof(source), 1), vector(ctypes.addressof(target), 1)
    call(310, ctypes.c_int(os.getpid()), to, ctypes.c_ulong(1), from_, ctypes.c_ulong(1), ctypes.c_ulong(0))

attempts = {
    "read a secret": (folder / "secret").read_bytes,
    "list a folder": lambda: os.listdir(folder),
    "write a new file": lambda: (folder / "new").write_bytes(b"x"),
    "write an old file": lambda: os.close(os.open(folder / "old", os.O_WRONLY)),
    "truncate a file": lambda: os.truncate(folder / "old", 0),
    "remove a file": (folder / "doomed").unlink,
    "make a folder": (folder / "made").mkdir,
    "read the memory of its parent": Path(f"/proc/{os.getppid()}/environ").read_bytes,
    "listen": listen,
    "signal its parent": lambda: os.kill(os.getppid(), 0),
    "run a shell": lambda: subprocess.run(["/bin/sh", "-c", "true"], check=True),
    "fork": fork,
    "run without a fork": posix_spawn,
    "reach a socket in the file system": unix,
    "trace": lambda: call(101, ctypes.c_long(0), ctypes.c_long(0), None, None),
    "read the memory of a process": own_memory,
    "run from memory": lambda: os.memfd_create("program"),
    "read a library": Path(os.__file__).read_bytes,
    "start a thread": thread,
    "connect": lambda: socket.create_connection(("127.0.0.1", port), 5).close(),
    "look up a name": lambda: socket.getaddrinfo("localhost", 80),
    "throw away": lambda: Path(os.devnull).write_bytes(b"x"),
    "make a pair of sockets": socket.socketpair,
    "signal itself": lambda: os.kill(os.getpid(), 0),
}
if confined:
    from vidette_frame_worker.confinement import confine
    confine(None)
found = {}
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError as error:
        found[name] = error.errno
    else:
        found[name] = 0
print(json.dumps(found))
"""
EPERM, EACCES = 1, 13


def landlock_version() -> int:
    return kernel.call(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1))


def attempted(how: str, folder: Path) -> dict[str, int]:
    """The number of the error that each attempt met; 0 where it succeeded."""
    folder.mkdir()
    for name in ("secret", "old", "doomed"):
        (folder / name).write_text("x")
    with socket.socket(socket.AF_UNIX) as local, socket.create_server(("127.0.0.1", 0)) as server:
        local.bind(str(folder / "socket"))
        local.listen()
        command = [sys.executable, "-c", PROGRAM, how, str(folder), str(server.getsockname()[1])]
        ran = subprocess.run(command, capture_output=True, check=True, timeout=60)
    found: dict[str, int] = json.loads(ran.stdout)
    return found


@pytest.fixture(scope="module")
def confined(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    return attempted("confined", tmp_path_factory.mktemp("confined") / "folder")


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    return attempted("unconfined", tmp_path_factory.mktemp("control") / "folder")


def test_all_of_it_is_possible_without(control: dict[str, int]) -> None:
    assert control.keys() == LANDLOCK.keys() | SECCOMP | STILL_DONE
    assert set(control.values()) == {0}, control


@pytest.mark.parametrize("name", LANDLOCK)
def test_landlock_refuses_it(name: str, confined: dict[str, int]) -> None:
    refusal = EPERM if name == "signal its parent" else EACCES
    assert confined[name] == (refusal if landlock_version() >= LANDLOCK[name] else 0)


@pytest.mark.parametrize("name", sorted(SECCOMP))
def test_seccomp_refuses_it(name: str, confined: dict[str, int], control: dict[str, int]) -> None:
    assert confined[name] == (EPERM if os.uname().machine == MACHINE else control[name])


@pytest.mark.parametrize("name", sorted(STILL_DONE))
def test_what_a_worker_needs_is_still_possible(name: str, confined: dict[str, int]) -> None:
    assert confined[name] == 0


OLD_KERNEL = """
import os, sys
from vidette_frame_worker.confinement import privileges
from vidette_frame_worker.confinement.syscalls import ALLOWED, EQUAL, LOAD, NUMBER_AT, UNKNOWN, Instruction, install
privileges.give_up()
install([Instruction(LOAD, NUMBER_AT), Instruction(EQUAL, 444, skip_else=1), UNKNOWN, ALLOWED])
os.execv(sys.executable, [sys.executable, "-m", "vidette_frame_worker"])
"""
"""A worker on a kernel that does not know Landlock."""


def worker(
    folder: Path, *command: str, confinement: str, at: Path | None = None
) -> tuple[int, list[dict[str, str]], str]:
    """The exit code, the log and the last words of a worker whose gateway stays away."""
    last_words = folder / "last-words"
    variables = {
        **os.environ,
        "VIDETTE_JOB_ID": str(uuid4()),
        "VIDETTE_JOB_TOKEN": "token",
        "VIDETTE_GATEWAY_URL": "http://127.0.0.1:1",
        "VIDETTE_TRITON_URL": "127.0.0.1:1",
        "VIDETTE_POD_NAME": "pod",
        "VIDETTE_PATIENCE_S": "0.1",
        "VIDETTE_LOG_LEVEL": "DEBUG",
        "VIDETTE_TERMINATION_LOG": str(last_words),
        "VIDETTE_CONFINEMENT": confinement,
    }
    ran = subprocess.run([sys.executable, *command], env=variables, cwd=at, capture_output=True, timeout=120)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    return ran.returncode, lines, last_words.read_text()


def said(lines: list[dict[str, str]], event: str) -> Iterator[dict[str, str]]:
    return (line for line in lines if line["event"] == event)


def test_a_worker_is_confined_before_it_has_a_second_thread(tmp_path: Path) -> None:
    code, lines, _ = worker(tmp_path, "-m", "vidette_frame_worker", confinement="available")
    assert code == WorkerExit.TRY_AGAIN
    (steps,) = said(lines, "confined")
    seccomp = ON if os.uname().machine == MACHINE else f"not made for {os.uname().machine}"
    expected = {"limits": ON, "no_new_privileges": ON, "landlock": ON, "seccomp": seccomp}
    assert {name: steps[name] for name in expected} == expected


def test_a_worker_that_is_started_where_its_modules_lie_finds_them(tmp_path: Path) -> None:
    """Python looks there too, and nothing else of what lies there is open to it."""
    at = Path(vidette_frame_worker.__file__).parents[1]
    code, _, _ = worker(tmp_path, "-m", "vidette_frame_worker", confinement="required", at=at)
    assert code == WorkerExit.TRY_AGAIN


def test_what_a_kernel_does_not_have_is_told_and_gone_without(tmp_path: Path) -> None:
    code, lines, _ = worker(tmp_path, "-c", OLD_KERNEL, confinement="available")
    assert code == WorkerExit.TRY_AGAIN, "it went on to the gateway"
    (warning,) = said(lines, "this worker is not confined in every way")
    assert warning["landlock"] == "not supported by this kernel (ENOSYS)"
    assert "seccomp" not in warning


def test_where_confinement_is_required_such_a_kernel_ends_the_worker(tmp_path: Path) -> None:
    code, _, last_words = worker(tmp_path, "-c", OLD_KERNEL, confinement="required")
    assert code == CONFIGURATION_ERROR
    assert last_words == (
        "VIDETTE_CONFINEMENT is required, and this kernel does not have all of it: "
        "landlock: not supported by this kernel (ENOSYS)"
    )


def test_a_worker_that_may_be_open_says_nothing_of_it(tmp_path: Path) -> None:
    code, lines, _ = worker(tmp_path, "-m", "vidette_frame_worker", confinement="off")
    assert code == WorkerExit.TRY_AGAIN
    assert not list(said(lines, "confined"))

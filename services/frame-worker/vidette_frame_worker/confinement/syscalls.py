"""seccomp: system calls that no decoder needs are refused with EPERM, whoever makes them.

A list of what is forbidden and not of what is allowed: libraries are free to use whatever is harmless, and a new version of one
of them does not kill workers. What runs pods has such a list too (`RuntimeDefault`), made for programs that start others.

Numbers: linux, arch/x86/entry/syscalls/syscall_64.tbl. Other architectures number them otherwise, and have Landlock alone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from vidette_frame_worker.confinement import kernel
from vidette_frame_worker.confinement.kernel import Unsupported

MACHINE: Final = "x86_64"
ARCHITECTURE: Final = 0xC000003E  # AUDIT_ARCH_X86_64
_X32: Final = 0x40000000  # the bit of a second numbering
_SECCOMP, _SET_MODE_FILTER, _FOR_ALL_THREADS = 317, 1, 1
_SOCKET, _CLONE, _CLONE3 = 41, 56, 435
_CLONE_THREAD: Final = 0x10000
_INET, _INET6, _NETLINK = 2, 10, 16
_STREAM, _DATAGRAM = 1, 2

FORBIDDEN: Final = {
    "execve": 59, "execveat": 322, "fork": 57, "vfork": 58, "memfd_create": 319, "memfd_secret": 447, "personality": 135,
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "process_madvise": 440, "kcmp": 312,
    "pidfd_open": 434, "pidfd_getfd": 438, "pidfd_send_signal": 424,
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "mount_setattr": 442, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "unshare": 272, "setns": 308, "mknod": 133, "mknodat": 259, "name_to_handle_at": 303, "open_by_handle_at": 304,
    "keyctl": 250, "add_key": 248, "request_key": 249, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "fanotify_init": 300,
    "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "msgget": 68, "mq_open": 240,
    "init_module": 175, "finit_module": 313, "delete_module": 176, "kexec_load": 246, "kexec_file_load": 320,
    "reboot": 169, "swapon": 167, "swapoff": 168, "acct": 163, "quotactl": 179, "quotactl_fd": 443, "syslog": 103,
    "iopl": 172, "ioperm": 173, "modify_ldt": 154, "settimeofday": 164, "clock_settime": 227, "uselib": 134,
}  # fmt: skip
"""What starts programs and processes, looks into others, changes what is mounted, takes keys; and those parts of the kernel in
which most holes were found."""


class Instruction(NamedTuple):
    """Of the classic Berkeley packet filter: `skip_if` and `skip_else` count the instructions to leave out."""

    code: int
    value: int
    skip_if: int = 0
    skip_else: int = 0

    def packed(self) -> bytes:
        return struct.pack("=HBBI", self.code, self.skip_if, self.skip_else, self.value)


LOAD, EQUAL, AT_LEAST, ANY_BIT, MASK, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
NUMBER_AT, ARCHITECTURE_AT, _FIRST_AT, _SECOND_AT = 0, 4, 16, 24
ALLOWED: Final = Instruction(RETURN, 0x7FFF0000)
REFUSED: Final = Instruction(RETURN, 0x00050000 | errno.EPERM)
UNKNOWN: Final = Instruction(RETURN, 0x00050000 | errno.ENOSYS)


def program() -> Iterator[Instruction]:
    yield from (
        Instruction(LOAD, ARCHITECTURE_AT),
        Instruction(EQUAL, ARCHITECTURE, skip_if=1),
        REFUSED,
        Instruction(LOAD, NUMBER_AT),
        Instruction(AT_LEAST, _X32, skip_else=1),
        REFUSED,
    )
    for number in FORBIDDEN.values():
        yield Instruction(EQUAL, number, skip_else=1)
        yield REFUSED
    # Its flags lie in memory, where no filter sees them: libraries then start a thread by the older call.
    yield Instruction(EQUAL, _CLONE3, skip_else=1)
    yield UNKNOWN
    yield from _only_threads()
    yield from _only_internet()
    yield ALLOWED


def _only_threads() -> tuple[Instruction, ...]:
    return (
        Instruction(EQUAL, _CLONE, skip_else=4),
        Instruction(LOAD, _FIRST_AT),
        Instruction(ANY_BIT, _CLONE_THREAD, skip_if=1),
        REFUSED,
        ALLOWED,
    )


def _only_internet() -> tuple[Instruction, ...]:
    """Not the sockets in the file system, behind which container engines listen; netlink is how names are looked up."""
    return (
        Instruction(EQUAL, _SOCKET, skip_else=11),
        Instruction(LOAD, _FIRST_AT),
        Instruction(EQUAL, _NETLINK, skip_if=8),
        Instruction(EQUAL, _INET, skip_if=2),
        Instruction(EQUAL, _INET6, skip_if=1),
        REFUSED,
        Instruction(LOAD, _SECOND_AT),
        Instruction(MASK, 0xF),  # the flags are above
        Instruction(EQUAL, _STREAM, skip_if=2),
        Instruction(EQUAL, _DATAGRAM, skip_if=1),
        REFUSED,
        ALLOWED,
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forbid() -> None:
    """For all threads. Raises Unsupported."""
    machine = os.uname().machine
    if machine != MACHINE:
        raise Unsupported(f"not made for {machine}")
    install(program())


def install(instructions: Iterable[Instruction]) -> None:
    packed = [instruction.packed() for instruction in instructions]
    told = _Program(len(packed), b"".join(packed))
    kernel.call(_SECCOMP, ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_FOR_ALL_THREADS), ctypes.byref(told))

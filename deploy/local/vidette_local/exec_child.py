"""Runs between the supervisor's fork and a part's own program: ties the part's life to the supervisor's and drops root.

It is a script, not an import: started as `python -I -S exec_child.py PARENT MODE -- PROGRAM ARG…`, it prepares the process
that it is and then becomes the program. A `preexec_fn` would run between fork and exec of a process that has threads.

MODE is `keep`, `guard` (children of the program die with it), `namespace` (root becomes an ordinary user inside a user
namespace of its own) or `user:UID:GID`.
Exit codes when the program cannot be started: 126 (not permitted), 127 (the program is not there), 137 (the parent is gone).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
CLONE_NEWUSER = 0x10000000  # <linux/sched.h>
OVERFLOW_ID = 65534  # what unmapped owners look like inside a user namespace: a poor choice for oneself
GUARD_LOOKS_SECONDS = 5.0  # the signal is what counts; this is in case it was lost

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def enter_user_namespace() -> None:
    """Look like an ordinary user to the program, while files still belong to root outside: nothing is chowned.

    Some programs (PostgreSQL) refuse user id 0. The id is one that has a passwd entry, because they look up its name.
    """
    entries = [entry for entry in pwd.getpwall() if entry.pw_uid not in (0, OVERFLOW_ID)]
    uid, gid = (entries[0].pw_uid, entries[0].pw_gid) if entries else (OVERFLOW_ID, OVERFLOW_ID)
    _checked(_libc.unshare(CLONE_NEWUSER), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} 0 1")
    Path("/proc/self/gid_map").write_text(f"{gid} 0 1")


def become_user(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def start_guard() -> None:
    """Leave a child behind in this process group that kills the group when the program-to-be dies, however it dies.

    The death signal reaches only the process that asked for it; the program's own children would live on as orphans.
    """
    program = os.getpid()
    if os.fork() != 0:
        return
    with contextlib.suppress(OSError):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1})
        _checked(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGUSR1, 0, 0, 0), "prctl")
        while os.getppid() == program:
            signal.sigtimedwait({signal.SIGUSR1}, GUARD_LOOKS_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main(arguments: list[str]) -> int:
    parent, mode, separator, *program = arguments
    if separator != "--" or not program:
        raise SystemExit("usage: exec_child.py PARENT MODE -- PROGRAM [ARG…]")
    try:
        if mode == "namespace":
            enter_user_namespace()
        elif mode == "guard":
            start_guard()
        elif mode.startswith("user:"):
            uid, gid = mode.removeprefix("user:").split(":")
            become_user(int(uid), int(gid))
        # After the change of user: the kernel forgets the death signal whenever credentials change.
        _checked(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
        if os.getppid() != int(parent):
            return 137  # the supervisor died before the death signal was in place
        os.execvpe(program[0], program, os.environ)
    except FileNotFoundError as error:
        print(f"cannot start {program[0]}: {error.strerror}", file=sys.stderr)
        return 127
    except OSError as error:
        print(f"cannot start {program[0]} ({mode}): {error.strerror}", file=sys.stderr)
        return 126


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

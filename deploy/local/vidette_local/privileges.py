"""How a program that refuses to run as root (PostgreSQL) is run when the stack itself was started by root.

First choice is a user namespace: nothing is chowned, no account is made, and folders that only root may enter still work.
Where the machine forbids namespaces (many containers do) an existing unprivileged account takes over.
"""

from __future__ import annotations

import functools
import os
import pwd
import subprocess
import sys
from pathlib import Path

_EXEC_CHILD = Path(__file__).with_name("exec_child.py")

# The modes of `exec_child.py`, beside `user:UID:GID`.
KEEP = "keep"
GUARD = "guard"
NAMESPACE = "namespace"


def fallback_account() -> pwd.struct_passwd:
    """`postgres` where the machine has it, else `nobody`. Raises `KeyError` when it has neither."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


@functools.cache
def demotion() -> str:
    """The mode for a program that must not be root. For an ordinary user there is nothing to drop."""
    if os.geteuid() != 0:
        return KEEP
    attempt = [sys.executable, "-I", "-S", str(_EXEC_CHILD), str(os.getpid()), NAMESPACE, "--", "/bin/true"]
    if subprocess.run(attempt, capture_output=True, timeout=20, check=False).returncode == 0:
        return NAMESPACE
    account = fallback_account()
    return f"user:{account.pw_uid}:{account.pw_gid}"


def give_to_unprivileged(folder: Path) -> None:
    """Make `folder` and what is in it belong to whom unprivileged programs run as, if it does not yet.

    Another run may have had to use the other way, on the same state folder.
    """
    if os.geteuid() != 0:
        return
    uid, gid = 0, 0  # a user namespace's user is root outside
    if demotion().startswith("user:"):
        account = fallback_account()
        uid, gid = account.pw_uid, account.pw_gid
    if folder.stat().st_uid == uid:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)

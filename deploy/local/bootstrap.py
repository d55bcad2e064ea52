"""From a fresh clone to a synced .venv, with nothing but Python: finds uv, or installs it into .runtime/uv.

`bootstrap.py` installs what running needs, `bootstrap.py dev` also what tests and linters need. The Makefile calls it before
every target; when nothing changed it takes well under a second. Standard library only, and syntax that an old Python can read,
so that it can say what is wrong.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / ".runtime" / "uv"
OLDEST, NEWEST = (3, 11), (3, 13)
"""The Pythons that the locked packages have wheels for. A newer one is fine to start from: uv then finds or fetches NEWEST."""
UV = "uv>=0.9,<1"


def fail(message: str) -> None:
    sys.exit("vidette: " + message)


def find_uv() -> str:
    """The user's uv, else our own, installed on first use."""
    found = shutil.which("uv")
    if found:
        return found
    own = OWN / "bin" / "uv"
    if not own.exists():
        install_uv()
    return str(own)


def install_uv() -> None:
    """By pip, since pip knows the machine's proxies, certificates and indexes. Made aside, so that half is never found."""
    print("uv is not installed; installing it into .runtime/uv", file=sys.stderr)
    made = OWN.with_name("uv-in-the-making")
    shutil.rmtree(str(made), ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(made), UV]
    if subprocess.call([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL) != 0:
        fail("this Python has no pip. Install it (Debian: apt install python3-pip) or uv, and run make again.")
    if subprocess.call(pip) != 0:
        fail("uv could not be installed. Is the package index reachable? Or install uv yourself and run make again.")
    shutil.rmtree(str(OWN), ignore_errors=True)
    made.rename(OWN)


def main() -> None:
    here = sys.version_info[:2]
    if here < OLDEST:
        this = ".".join(map(str, here))
        fail("Python 3.11 or newer is needed, this is " + this + ". Say which: make PYTHON=python3.12 ...")
    uv = find_uv()
    # The interpreter itself, not a shim or a venv's link to it, which may point elsewhere tomorrow.
    python = os.path.realpath(sys.executable) if here <= NEWEST else ".".join(map(str, NEWEST))
    sync = [uv, "sync", "--frozen", "--quiet", "--project", str(ROOT), "--python", python]
    if sys.argv[1:] != ["dev"]:
        # Inexact: what `dev` installed before stays.
        sync += ["--no-dev", "--inexact"]
    environment = dict(
        os.environ,
        UV_PROJECT_ENVIRONMENT=str(ROOT / ".venv"),
        UV_PYTHON_INSTALL_DIR=str(ROOT / ".runtime" / "python"),
    )
    if subprocess.call(sync, env=environment) != 0:
        fail("the locked packages could not be installed; uv said why above.")


if __name__ == "__main__":
    main()

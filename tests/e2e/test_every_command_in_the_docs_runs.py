"""Every `sh` and `python` block of the documentation is run as it stands, page by page, from a folder like a user's clone.

Two liberties: the port is a free one, and `make up`, which stays in the foreground until somebody stops it, is started beside.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.stacks import free_port

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_UP = re.compile(r"^((?:[A-Z_]+=\S+ )*)make up.*$", re.MULTILINE)
# A stack that ends before it is ready, or never is, fails the page and shows what it said.
_START = """
start_stack() {{
  rm -f up.log; env "$@" make up > up.log 2>&1 &
  for _ in $(seq 600); do
    if grep -q ^ready up.log; then return 0; fi
    if ! kill -0 $! 2> /dev/null; then cat up.log; return 1; fi
    sleep 0.2
  done
  cat up.log; return 1
}}
trap 'VIDETTE_HOME={home} make down > /dev/null 2>&1' EXIT
"""


def blocks_of(page: Path) -> list[tuple[str, str]]:
    return [(language, code) for language, code in BLOCK.findall(page.read_text())]


def script_of(page: Path, home: Path) -> str:
    lines = ["set -euo pipefail", _START.format(home=home)]
    for number, (language, code) in enumerate(blocks_of(page)):
        lines.append(f"echo '--- block {number} of {page.name}' >&2")
        if language == "python":
            lines.append(f".venv/bin/python - <<'END_OF_PYTHON'\n{code}END_OF_PYTHON")
        else:
            lines.append(_UP.sub(lambda found: f"start_stack {found[1]}", code))
    return "\n".join(lines)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a clone holds, by links, so that what the commands write stays out of the repository."""
    folder = tmp_path / "vidette"
    folder.mkdir()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=30)
    for name in {*(line.split("/")[0] for line in listed.stdout.splitlines()), ".venv", ".runtime"}:
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_one_after_the_other(page: Path, clone: Path) -> None:
    port = free_port()
    script = script_of(page, clone / ".vidette").replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    script = script.replace("VIDETTE_HTTP_PORT=8010", f"VIDETTE_HTTP_PORT={free_port()}")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VIDETTE_")}
    mine = {"VIDETTE_HTTP_PORT": str(port), "VIDETTE_URL": f"http://127.0.0.1:{port}", "MAKEFLAGS": ""}
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=clone,
        env={**inherited, **mine, "no_proxy": "127.0.0.1,localhost"},
        capture_output=True,
        text=True,
        timeout=380,
    )
    assert ran.returncode == 0, f"{ran.stdout[-4000:]}\n{ran.stderr[-4000:]}"

"""The part of docs/operations.md that is about clusters: its sections, and somebody who follows one to the letter.

A block that begins with "sh cluster" is for a shell in which `JOB_ID` is set and the current context is that of the installation.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from tests.support.cluster import REPOSITORY
from tests.support.installation import Installation

PAGE = REPOSITORY / "docs" / "operations.md"
_SECTION = re.compile(r"^#{2,3} (.+)\n((?:(?!^#{2,3} ).*\n?)*)", re.MULTILINE)
_BLOCK = re.compile(r"^```sh cluster\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LIMIT_S = 60.0


def sections() -> Mapping[str, str]:
    """The commands of each section, by its heading."""
    found = {heading: "".join(_BLOCK.findall(text)) for heading, text in _SECTION.findall(PAGE.read_text())}
    return {heading: commands for heading, commands in found.items() if commands}


PREPARATION = "In a cluster"
"""The section of which everybody has run the commands."""


def followed(section: str, vidette: Installation, job_id: UUID) -> str:
    """What the commands of the section print. Fails when one of them does, also one that finds nothing."""
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder, "kubeconfig")
        shutil.copy(vidette.cluster.kubeconfig, kubeconfig)
        Path(folder, "kubectl").symlink_to(vidette.cluster.program)
        commands = sections()[PREPARATION].replace("=vidette\n", f"={vidette.namespace}\n") + sections()[section]
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands.replace(":vidette:", f":{vidette.namespace}:")],
            env={
                **os.environ,
                "PATH": f"{folder}:{os.environ['PATH']}",
                "KUBECONFIG": str(kubeconfig),
                "JOB_ID": str(job_id),
            },
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
    assert ran.returncode == 0, f"{section}:\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout

"""The console script: only so that Ctrl-C prints no traceback while the command is still being imported."""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""`exits.ExitCode.INTERRUPTED`, which is not imported yet."""


def main() -> None:
    try:
        from vidette.cli import main as command
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    command()

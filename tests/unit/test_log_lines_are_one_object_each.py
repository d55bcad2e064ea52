"""Every line of a service's log is one JSON object, whoever wrote it: our own code, or a library with the standard logger."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SERVICE = """
import logging, structlog
from vidette_core.settings import LogSettings
from vidette_core.telemetry.logs import configure_logs
configure_logs(LogSettings(), "api")
def fails():
    raise ValueError("odd")
try:
    fails()
except ValueError as error:
    structlog.get_logger("own").error("ours", exc_info=error)
    logging.getLogger("library").exception("theirs %s", 7)
"""


def logged() -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, "-c", SERVICE], capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_librarys_error_has_its_stack_as_text_like_our_own() -> None:
    ours, theirs = logged()
    assert (ours["event"], theirs["event"], theirs["service"]) == ("ours", "theirs 7", "api")
    for line in (ours, theirs):
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("ValueError: odd")
        assert "exc_info" not in line

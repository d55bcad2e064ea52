"""A short part of `python -m tests.fuzz`, always the same: whatever is sent ends with frames or with a code, and soon.

The control shows that the trap catches: a process of the fuzzer that opens a file is dead.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.child import Ended
from tests.fuzz.runner import MOST_GROWTH, MOST_PEAK, Report, fuzz
from tests.fuzz.uploads import LIMITS, MOST_GROWN_MIB, fuzz_uploads
from tests.support.public_api import public_api
from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings

SEED = 7


def check(report: Report, cases: int, codes: set[str]) -> None:
    assert report.cases == cases
    assert report.wrong == {}
    assert codes <= report.codes.keys(), "the cases are bad in more ways than one"


def test_spoilt_videos_end_with_frames_or_with_a_code(tmp_path: Path) -> None:
    report = fuzz("videos", SEED, range(500), keep=tmp_path)
    check(report, 500, {"frames", "invalid_video", "too_long"})


def test_spoilt_forms_are_forms_or_refused_with_a_code(tmp_path: Path) -> None:
    check(fuzz("forms", SEED, range(500), keep=tmp_path), 500, {"form", "invalid_request"})


async def test_spoilt_uploads_are_jobs_or_refused_with_a_code(postgres_url: str, s3: StoreEndpoint) -> None:
    async with public_api(postgres_url, store_settings(s3), uploads=LIMITS) as api:
        found = await fuzz_uploads(api, SEED, range(200))
    assert found.wrong == {}
    assert found.grown_mib < MOST_GROWN_MIB
    assert {"submitted", "invalid_request", "invalid_format", "left"} <= found.codes.keys()


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/hostname')",
        "socket.socket()",
        "os.unlink('/nothing')",
        "av.open('/etc/hostname')",
        "av.open('http://x')",
    ],
)
def test_the_trap_ends_whoever_opens_something(attempt: str) -> None:
    program = f"import os, socket, av; from tests.fuzz.child import trap; trap(); {attempt}"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert ran.returncode == -signal.SIGSYS


def test_what_may_not_be_is_told_and_a_crash_that_stays_in_its_process_is_not() -> None:
    report = Report()
    report.take(Ended(1, "defect", "KeyError"))
    report.take(Ended(2, "frames", peak=MOST_PEAK + 1))
    report.take(Ended(3, "frames", peak=MOST_PEAK))
    report.take_growth(4, 9, MOST_GROWTH + 1)
    report.take_death(5, signal.SIGSYS)
    report.take_death(6, signal.SIGPROF)
    report.take_death(7, signal.SIGSEGV)
    assert set(report.wrong) == {1, 2, 4, 5, 6}
    assert report.crashes == {7: "SIGSEGV"}

"""What every work of an episode gives without faults: each is sent to the same stack before the first fault, to one worker alone.

Kept in a file under the film's content and the code's way of sampling, so that the episodes of one run compute it once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from uuid import UUID

from tests.chaos.clients import PATIENT, QUICK
from tests.chaos.evidence import Outcome
from tests.chaos.films import Work
from tests.chaos.snapshot import outcome
from tests.support.code_reader import PIPELINE_ID
from vidette.client import Client
from vidette.errors import ServiceUnavailable

_LONGEST_S = 900.0
_SENDS = 20


class Reference:
    """`path` is where it is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        kept = json.loads(path.read_text()) if path.exists() else {}
        self._known = {key: Outcome(**{**value, "warnings": tuple(value["warnings"])}) for key, value in kept.items()}

    def of(self, works: Sequence[Work], films: Mapping[str, Path], url: str) -> dict[str, Outcome]:
        """By the work's name. Raises `AssertionError` for what does not end."""
        keys = {work: f"{hashlib.sha256(films[work.film].read_bytes()).hexdigest()[:16]} {work.name}" for work in works}
        with Client(url, QUICK, PATIENT) as client:
            jobs = {work: self._submit(client, work, films) for work in works if keys[work] not in self._known}
            for work, job_id in jobs.items():
                client.wait(job_id, timeout=_LONGEST_S)
                self._known[keys[work]] = outcome(client, str(job_id))
        self._path.write_text(json.dumps({key: asdict(value) for key, value in self._known.items()}, indent=1))
        return {work.name: self._known[key] for work, key in keys.items()}

    def _submit(self, client: Client, work: Work, films: Mapping[str, Path]) -> UUID:
        """A slow machine may have the service say that it cannot; a job too many does no harm here."""
        for _ in range(_SENDS):
            with suppress(ServiceUnavailable):
                return client.submit(films[work.film], PIPELINE_ID, work.stride, work.max_frames or None, max_workers=1)
            time.sleep(2)
        raise AssertionError(f"the stack takes no video before the first fault: {work.name}")

"""What the stores did, as it is collected and as it is kept in results.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.stores import needed, unneeded
from tests.stores.actions import ACTIONS, statements
from tests.stores.place import Finding
from tests.support.store_servers import KINDS
from vidette_local.parts.s3 import BUCKET

Cells = dict[str, dict[str, Finding]]


@dataclass(slots=True)
class Record:
    """By store: what it can do (`findings`, by what was asked), promises kept, a whole job, calls lost with each action."""

    findings: Cells = field(default_factory=dict)
    promises: dict[str, int] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    lost: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def found(self, question: str, store: str, finding: Finding) -> None:
        self.findings.setdefault(question, {})[store] = finding

    def promise_kept(self, store: str) -> None:
        self.promises[store] = self.promises.get(store, 0) + 1

    def did_a_job(self, store: str, note: str) -> None:
        self.jobs[store] = note

    def lost_without(self, action: str, store: str, calls: list[str]) -> None:
        self.lost.setdefault(store, {})[action] = calls

    def is_whole(self) -> bool:
        stores = {kind.name for kind in KINDS}
        limited = {kind.name for kind in KINDS if kind.limit}
        questions = {*needed.PROBES, *unneeded.PROBES}
        return (
            set(self.findings) == questions
            and all(set(cells) == stores for cells in self.findings.values())
            and set(self.promises) == set(self.jobs) == stores
            and len(set(self.promises.values())) == 1
            and set(self.lost) == limited
            and all(set(calls) == set(ACTIONS) for calls in self.lost.values())
        )

    def as_json(self) -> str:
        content = {
            "tried": datetime.now(UTC).date().isoformat(),
            "stores": [{"name": kind.name, "title": kind.title, "version": kind.version()} for kind in KINDS],
            "promises": _sorted(self.promises),
            "jobs": _sorted(self.jobs),
            "needed": self._cells(needed.PROBES),
            "unneeded": self._cells(unneeded.PROBES),
            "policy": {"Version": "2012-10-17", "Statement": statements(BUCKET, ACTIONS)},
            "lost": {store: _sorted(calls) for store, calls in _sorted(self.lost).items()},
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def _cells(self, questions: Any) -> list[dict[str, Any]]:
        return [
            {"question": question, "stores": {kind.name: asdict(self.findings[question][kind.name]) for kind in KINDS}}
            for question in questions
        ]


def _sorted(content: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(content.items()))

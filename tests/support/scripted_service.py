"""A real HTTP server that answers by script, for what a client must bear and a healthy service never does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

JOB = UUID("0192f0c1-7a52-7c3e-9a55-0d7b6f1f2a31")
TIMES = {"created_at": "2026-11-03T09:15:00Z", "updated_at": "2026-11-03T09:15:42Z"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted answer. `cut` closes the connection that many bytes before the promised end."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


@dataclass(slots=True)
class Script:
    """Answers by `METHOD path`, given in turn; the last is repeated. Requests are recorded with their bodies."""

    answers: dict[str, list[Answer]]
    results: PagedResults | None = None
    url: str = ""
    requests: list[tuple[str, bytes]] = field(default_factory=list)

    def next(self, key: str) -> Answer:
        if self.results is not None and key.startswith(RESULTS):
            return self.results.answer(key)
        turns = self.answers.get(key, [Answer(404, b"<h1>nothing here</h1>", {"Content-Type": "text/html"})])
        return turns.pop(0) if len(turns) > 1 else turns[0]


@dataclass(slots=True)
class PagedResults:
    """The results of a job as the service pages them: by `limit`, by `cursor`, with a `Link` to the rest.

    Each number in `breaks` ends one answer without a limit: the connection is closed in the middle of the row after so many.
    """

    rows: list[dict[str, object]]
    breaks: list[int] = field(default_factory=list)

    def answer(self, key: str) -> Answer:
        query = parse_qs(urlsplit(key).query)
        first = int(query.get("cursor", ["at-0"])[0].removeprefix("at-"))
        end = min(first + int(query["limit"][0]), len(self.rows)) if "limit" in query else len(self.rows)
        whole = as_lines(self.rows[first:end])
        headers = dict(whole.headers)
        if end < len(self.rows):
            headers["Link"] = f'</video/results/{JOB}?limit={end - first}&cursor=at-{end}>; rel="next"'
        if "limit" in query or not self.breaks:
            return Answer(200, whole.body, headers)
        sent = len(as_lines(self.rows[first : first + self.breaks.pop(0)]).body) + 7
        return Answer(200, whole.body, headers, cut=max(len(whole.body) - sent, 1))


def as_json(value: object, status: int = 200, **headers: str) -> Answer:
    fields = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **fields})


def as_lines(rows: list[dict[str, object]]) -> Answer:
    body = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
    return Answer(200, body, {"Content-Type": "application/x-ndjson"})


def job(status: str, **more: object) -> Answer:
    """The answer to a status request."""
    return as_json({"job_id": str(JOB), "status": status, "progress": None, **TIMES, **more})


def verification(*, identical: int = 29, different: int = 0) -> Answer:
    """What a verification found, which has the id of the job here."""
    result: dict[str, object] = {"detections": [], "text": "stored", "timestamp_ms": 40.0}
    differing = {"frame_index": 7, "stored": result, "found": {**result, "text": "found"}}
    counts = {"frames": identical + 1 + different, "identical": identical, "close": 1, "different": different}
    return as_json({"job_id": str(JOB), "verifies": str(JOB), **counts, "differences": [differing] * different})


def frame(index: int, text: str = "", label: str = "car") -> dict[str, object]:
    """A row of results with one object in it."""
    found = {"label": label, "class_id": 0, "confidence": 0.914, "bbox": [10.0, 20.0, 30.0, 40.0]}
    return {
        "frame_index": index,
        "result": {"detections": [found], "text": text, "timestamp_ms": index * 40.0, "lines": []},
    }


def facts(**more: object) -> Answer:
    """The answer to a question for one page of results as a JSON document."""
    model = {"name": "demo", "version": 3, "digest": "sha256:0123456789abcdef"}
    return as_json({"job_id": str(JOB), "results": [frame(0)], **TIMES, "models": [model], **more})


STATUS = f"GET /video/status/{JOB}"
RESULTS = f"GET /video/results/{JOB}"
FACTS = f"{RESULTS}?limit=1"
CANCEL = f"POST /video/cancel/{JOB}"
VERIFY = f"POST /video/verify/{JOB}?"
VERIFIED = f"GET /video/verification/{JOB}"
PIPELINES = "GET /pipelines"
SUBMIT = "POST /video/submit"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # the default of 5 resets some of the connections that are made all at once


@contextmanager
def scripted_service(answers: dict[str, list[Answer]], results: PagedResults | None = None) -> Iterator[Script]:
    """Serves the script on a free port of this machine; all questions for results go to `results`, where it is given."""
    script = Script(answers, results)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            """Requests are recorded in the script instead."""

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            key = f"{self.command} {self.path}"
            script.requests.append((key, body))
            answer = script.next(key)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: len(answer.body) - answer.cut])
            if answer.cut:
                self.close_connection = True

    server = _Server(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)

"""Uploads through the api against boto3 to the same store, and the memory that the api takes for one.

    .venv/bin/python -m tests.bench.upload [MiB] [rounds]

The client of the api is as lean as can be (`sendfile`), because on a small machine it takes its time from the api.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from boto3.s3.transfer import TransferConfig

from tests.bench.figures import interleaved, ratio, report
from tests.bench.installation import Installation, installation, scratch
from tests.bench.usage import MIB, Peak, Stopwatch, resident
from tests.support.public_api import MP4_HEAD, PIPELINE
from vidette_api.public.upload import IN_FLIGHT
from vidette_api.settings import UploadSettings

_BOUNDARY = "vidette-bench"
_ANSWER_S = 900.0


def write_video(path: Path, size: int) -> None:
    """`size` bytes that begin as an MP4 does and are noise behind that: nothing can compress or skip them."""
    noise = secrets.token_bytes(64 * MIB)
    with path.open("wb") as file:
        file.write(MP4_HEAD)
        while (left := size - file.tell()) > 0:
            file.write(noise[:left])


def submit(port: int, path: Path, pipeline_id: str, **fields: str) -> str:
    """POST the file as `curl -F` does, the file first, and return the job's id."""
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="video.mp4"\r\n'
        "Content-Type: video/mp4\r\n\r\n"
    )
    tail = "".join(
        f'\r\n--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'
        for name, value in {"pipeline_id": pipeline_id, **fields}.items()
    )
    tail += f"\r\n--{_BOUNDARY}--\r\n"
    length = len(head) + path.stat().st_size + len(tail)
    lines = [
        "POST /video/submit HTTP/1.1",
        "Host: localhost",
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}",
        f"Content-Length: {length}",
        "Connection: close",
        "",
        head,
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_S) as connection, path.open("rb") as file:
        connection.sendall("\r\n".join(lines).encode())
        connection.sendfile(file)
        connection.sendall(tail.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    start, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in start.split(b"\r\n")[0]:
        raise RuntimeError(f"the api refused the upload: {answer[:500]!r}")
    job_id: str = json.loads(body)["job_id"]
    return job_id


class Uploads:
    """Each measure uploads the file once and answers with MiB a second. Objects are deleted outside the measured time."""

    def __init__(self, running: Installation, video: Path) -> None:
        self._running = running
        self._video = video
        self._mib = video.stat().st_size / MIB
        self.over_idle: list[float] = []
        self.api_cpu: list[float] = []

    def through_api(self) -> float:
        pid = self._running.api.pid
        with Peak(pid) as peak, Stopwatch(pid) as watch:
            job_id = submit(self._running.api.port, self._video, PIPELINE.id)
        self.over_idle.append(peak.mib)
        self.api_cpu.append(watch.cpu * 1024 / self._mib)
        self._running.delete(f"sources/{job_id}")
        return self._mib / watch.seconds

    def by_boto3(self, transfer: TransferConfig) -> Callable[[], float]:
        def measure() -> float:
            with Stopwatch() as watch:
                self._running.upload(self._video, "bench/plain", transfer)
            self._running.delete("bench/plain")
            return self._mib / watch.seconds

        return measure


def main(mib: int, rounds: int) -> None:
    with scratch() as folder, installation(folder) as running:
        video = folder / "video.mp4"
        write_video(video, mib * MIB)
        uploads = Uploads(running, video)
        idle = resident(running.api.pid)
        same = TransferConfig(multipart_chunksize=UploadSettings().part_bytes, max_concurrency=IN_FLIGHT)
        found = interleaved(
            rounds,
            {
                "through the api": uploads.through_api,
                "boto3, as it comes": uploads.by_boto3(TransferConfig()),
                "boto3, same parts and parallelism": uploads.by_boto3(same),
            },
        )
        api, default, alike = found.values()
        report(
            f"upload of {mib} MiB, {rounds} rounds",
            {
                "api, MiB/s": sum(api) / rounds,
                "boto3 default, MiB/s": sum(default) / rounds,
                "api ÷ boto3 default (≥ 0.8)": ratio(api, default),
                "api ÷ boto3 alike": ratio(api, alike),
                "api's memory idle, MiB": idle,
                "api's memory over idle, MiB (≤ 64)": max(uploads.over_idle) - idle,
                "api's CPU, s per GiB": sum(uploads.api_cpu) / rounds,
            },
        )


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*(given + [2048, 5][len(given) :]))

"""The demo as a client sees it: a short clip goes in, and everything that was found is there to look at.

What it shows is what the service answered, drawn on the frames that the answers are about: nothing here knows what is in
the clip.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

import cv2
import numpy as np
from rich.console import Console

from vidette import Client, ClientCode, FrameRow, JobState, JobStatus, ModelRef
from vidette.display import job_bar, results_table, upload_bar
from vidette.errors import own_error
from vidette.exits import ExitCode, say_error
from vidette_local.demo_pictures import annotate
from vidette_models.demo.sample import FRAMES, sample_path
from vidette_models.demo.video import read_rgb

PIPELINE: Final = "yolo_ocr"
LONGEST_SECONDS: Final = 900.0
"""Many times what a slow laptop needs; after it something is wrong that waiting does not mend."""


class Stopped(Exception):
    """The demo was told to end."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """A finished job of the demo. `seconds` are from the end of the upload to the end of the job."""

    job_id: UUID
    final: JobStatus
    seconds: float


@dataclass(frozen=True, slots=True)
class Demo:
    """How much to analyse and where to show it. Setting `stopped` ends `run` within seconds."""

    folder: Path
    frames: int
    output: Console
    errors: Console
    stopped: threading.Event = field(default_factory=threading.Event)
    clip: Path = field(default_factory=sample_path)

    def run(self, url: str) -> ExitCode:
        """Sends the clip to the service at `url`, prints what was found and writes annotated PNG files into `folder`.

        Raises `VidetteError` when the service does not answer, `Stopped` when told to end.
        """
        if not self.clip.is_file():
            detail = (
                f"{self.clip} is missing. Draw it again: python -m vidette_models.demo.sample --out {self.clip.parent}"
            )
            raise own_error(ClientCode.BAD_FILE, detail)
        with Client(url) as client:
            analysed = self._analyse(client)
            if analysed.final.status is not JobState.COMPLETED:
                why = analysed.final.error
                say_error(self.errors, f"The job failed: {why.code}: {why.message}" if why else "The job failed.")
                return ExitCode.JOB_FAILED
            rows = list(client.results(analysed.job_id))
            models = client.result_facts(analysed.job_id).models
        pictures = draw(self.clip, rows, self.folder)
        self.output.print(results_table(rows))
        self.output.print(summary(rows, analysed.seconds, models), highlight=False, soft_wrap=True)
        told = f"{len(pictures)} annotated frames: {self.folder}"
        self.output.print(told, markup=False, highlight=False, soft_wrap=True)
        return ExitCode.OK

    def _analyse(self, client: Client) -> Analysed:
        with upload_bar(self.errors, self.clip.name, self.clip.stat().st_size) as on_progress:
            job_id = client.submit(self.clip, PIPELINE, -(-FRAMES // self.frames), self.frames, on_progress)
        began = time.monotonic()
        with job_bar(self.errors) as show:

            def show_or_stop(status: JobStatus) -> None:
                show(status)
                if self.stopped.is_set():
                    raise Stopped

            final = client.wait(job_id, LONGEST_SECONDS, show_or_stop)
        return Analysed(job_id, final, time.monotonic() - began)


def summary(rows: Sequence[FrameRow], seconds: float, models: Iterable[ModelRef]) -> str:
    """`12 frames, 41 objects, 12 frames with text, 13.2 s (1.1 s a frame); models: …`, as rich markup."""
    objects = sum(len(row.result.detections) for row in rows)
    texts = sum(1 for row in rows if row.result.text)
    failed = sum(1 for row in rows if row.result.error)
    counts = [
        f"[bold]{len(rows)}[/] frames analysed",
        f"[bold]{objects}[/] objects",
        f"text in [bold]{texts}[/] frames",
    ]
    if failed:
        counts.append(f"[red]{failed} could not be analysed[/]")
    counts.append(f"{seconds:.1f} s" + (f" ({seconds / len(rows):.1f} s a frame)" if rows else ""))
    named = ", ".join(f"{model.name} v{model.version} ({model.digest[7:15]})" for model in models)
    return ", ".join(counts) + (f"\nmodels: {named}" if named else "")


def draw(clip: Path, rows: Iterable[FrameRow], folder: Path) -> list[Path]:
    """Writes `frame-00042.png` for each row, from that very frame of the clip; pictures of an earlier demo go away."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("frame-*.png"):
        stale.unlink()
    return list(_written(clip, {row.frame_index: row for row in rows}, folder))


def _written(clip: Path, rows: dict[int, FrameRow], folder: Path) -> Iterator[Path]:
    for index, rgb in enumerate(read_rgb(clip)):
        if index not in rows:
            continue
        picture = annotate(np.asarray(rgb[:, :, ::-1], order="C"), rows[index].result)
        encoded = cv2.imencode(".png", picture)[1]
        path = folder / f"frame-{index:05}.png"
        path.write_bytes(encoded.tobytes())
        yield path

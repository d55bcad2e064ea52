"""What the command shows: bars on the error stream, tables on the output stream, and nothing fancy where no one looks."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from vidette.models import Detection, FrameRow, JobState, JobStatus, ModelRef, Pipeline, Verification

COLOURS: Final = {
    JobState.PENDING: "yellow",
    JobState.RUNNING: "cyan",
    JobState.COMPLETED: "green",
    JobState.FAILED: "red",
}
_UNSHOWN: Final = frozenset({"Cc", "Cf", "Cs"})
_LABEL_COLOURS: Final = ("cyan", "magenta", "green", "yellow", "blue", "bright_red", "bright_cyan", "bright_magenta")


@contextmanager
def upload_bar(errors: Console, name: str, size: int) -> Iterator[Callable[[int, int], None] | None]:
    """A bar for bytes sent, or None where the error stream is no terminal."""
    if not errors.is_terminal:
        yield None
        return
    with _progress(errors, DownloadColumn(binary_units=True), _Speed()) as progress:
        task = progress.add_task(f"upload {escape(plain(name))}", total=size)
        yield lambda sent, total: progress.update(task, completed=sent, total=total)


@contextmanager
def job_bar(errors: Console) -> Iterator[Callable[[JobStatus], None]]:
    """A bar that follows a job; a line for each change of state where the error stream is no terminal."""
    if not errors.is_terminal:
        yield _line_per_state(errors)
        return
    with _progress(errors, TaskProgressColumn(), TimeElapsedColumn()) as progress:
        task = progress.add_task(f"{'waiting':<9}", total=None)

        def show(status: JobStatus) -> None:
            progress.update(task, description=f"[{COLOURS[status.status]}]{status.status:<9}[/]")
            if status.status is JobState.COMPLETED:
                progress.update(task, completed=100, total=100)
            elif status.progress is not None:
                progress.update(task, completed=100 * status.progress, total=100)
            if status.status.is_final:
                progress.stop_task(task)

        yield show


class _Speed(TransferSpeedColumn):
    """Says nothing as long as nothing can be said."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.finished_speed or task.speed else Text()


def _line_per_state(errors: Console) -> Callable[[JobStatus], None]:
    shown: list[JobState] = []

    def show(status: JobStatus) -> None:
        if status.status not in shown:
            shown.append(status.status)
            errors.print(f"job {status.job_id} {status.status}", highlight=False, soft_wrap=True)

    return show


def _progress(errors: Console, *columns: ProgressColumn) -> Progress:
    description = TextColumn("{task.description}")
    return Progress(SpinnerColumn(), description, BarColumn(bar_width=32), *columns, console=errors)


def status_table(status: JobStatus) -> Table:
    """A job as a short two-column table."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("job", str(status.job_id))
    table.add_row("status", Text(status.status, style=f"bold {COLOURS[status.status]}"))
    if status.progress is not None:
        table.add_row("progress", f"{status.progress:.0%}")
    table.add_row("created", f"{status.created_at:%Y-%m-%d %H:%M:%S} UTC")
    table.add_row("updated", f"{status.updated_at:%Y-%m-%d %H:%M:%S} UTC")
    if status.error is not None:
        table.add_row("error", Text(f"{plain(status.error.code)}: {plain(status.error.message)}", style="red"))
    for warning in status.warnings:
        table.add_row(
            "warning", Text(f"{plain(warning.code)}: {plain(warning.message)}".removesuffix(": "), style="yellow")
        )
    return table


def results_table(rows: Iterable[FrameRow]) -> Table:
    """A row for each analysed frame: its number, its time, the objects best first, the text."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, expand=False)
    table.add_column("frame", justify="right", style="dim", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("objects", overflow="fold", ratio=3)
    table.add_column("text", overflow="fold", ratio=2)
    for row in rows:
        result = row.result
        objects = Text(result.error, style="red") if result.error else objects_text(result.detections)
        lines = [plain(line) for line in result.text.splitlines()]
        table.add_row(str(row.frame_index), clock(result.timestamp_ms), objects, Text(" · ".join(lines)))
    return table


def verification_table(found: Verification) -> Table:
    """How many frames came out again, and the first of those that did not, as both rows say them."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("job", str(found.verifies))
    table.add_row("frames", str(found.frames))
    table.add_row("identical", Text(str(found.identical), style="green"))
    table.add_row("close", str(found.close))
    table.add_row("different", Text(str(found.different), style="bold red" if found.different else ""))
    for frame in found.differences:
        table.add_row(f"frame {frame.frame_index}", Text(f"stored  {plain(frame.stored.model_dump_json())}"))
        table.add_row("", Text(f"found   {plain(frame.found.model_dump_json())}"))
    return table


def pipelines_table(pipelines: Iterable[Pipeline]) -> Table:
    """A row for each pipeline: what it finds objects with, of how many kinds, what it reads text with."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, expand=False)
    table.add_column("pipeline", no_wrap=True)
    table.add_column("objects", overflow="fold")
    table.add_column("labels", justify="right")
    table.add_column("text", overflow="fold")
    table.add_column("", style="dim", overflow="fold")
    for pipeline in pipelines:
        finder, reader = pipeline.detector, pipeline.text
        table.add_row(
            Text(plain(pipeline.id)),
            _model(finder.model if finder else None),
            str(len(finder.labels)) if finder else "-",
            _model(reader.recognition if reader else None),
            Text(plain(pipeline.description)),
        )
    return table


def _model(model: ModelRef | None) -> Text:
    return Text(plain(f"{model.name} {model.version}")) if model else Text("-")


def objects_text(detections: Iterable[Detection]) -> Text:
    """`car 97 %  person 91 %`: best first, each label always in the same colour."""
    text = Text()
    for detection in sorted(detections, key=lambda found: -found.confidence):
        text.append("  " if text else "")
        text.append(plain(detection.label).replace(" ", "\N{NO-BREAK SPACE}"), style=_colour(detection.class_id))
        text.append(f"\N{NO-BREAK SPACE}{detection.confidence:.0%}", style="dim")
    return text or Text("-", style="dim")


def clock(milliseconds: float | None) -> str:
    """`1:02:03.400`, without hours where there are none; `-` for an unknown time."""
    if milliseconds is None:
        return "-"
    whole = round(abs(milliseconds))
    seconds, rest = divmod(whole, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if milliseconds < 0 and whole else ""
    return f"{sign}{hours}:{minutes:02}:{seconds:02}.{rest:03}" if hours else f"{sign}{minutes}:{seconds:02}.{rest:03}"


def plain(text: str) -> str:
    """The text without control characters: what a video or a server says must not steer the terminal.

    Nor does it hold surrogates, which stand for bytes of a file name that are no UTF-8: no stream takes them.
    """
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(sign) in _UNSHOWN else sign for sign in text)


def _colour(class_id: int) -> str:
    return _LABEL_COLOURS[class_id % len(_LABEL_COLOURS)]

"""The `vidette` command: submit a video, ask for its status, read its results, cancel it; list the pipelines.

Data goes to the output stream and nothing else does, so that every command can be piped; bars, notes and errors go to the
error stream.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.console import Console

from vidette import plugins
from vidette.client import Client
from vidette.commands import Command, Group
from vidette.display import job_bar, pipelines_table, results_table, status_table, upload_bar, verification_table
from vidette.errors import NotFound, VidetteError
from vidette.exits import ExitCode, reported, say_error
from vidette.models import FrameRow, JobState, JobStatus
from vidette.settings import ClientSettings
from vidette.upload import size_of

TABLE_ROWS: Final = 100
"""Rows of a table when no limit is given: a table is laid out as a whole, and nobody reads a longer one."""

_ERRORS: Final = Console(stderr=True)
_EPILOG: Final = "Exit codes: " + "; ".join(f"{code.value} {code.meaning}" for code in ExitCode) + "."

app = typer.Typer(
    cls=Group,
    name="vidette",
    help="Detect objects and read text in videos, with a Vidette service.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The service. Default: $VIDETTE_URL, or http://127.0.0.1:8000."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on the output stream.")]
JobArgument = Annotated[str, typer.Argument(metavar="JOB_ID", help="What `vidette submit` printed.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        _print(f"vidette {version('vidette')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that stand before any command."""


@app.command(cls=Command, epilog=_EPILOG)
def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An MP4, MOV or AVI video.")],
    pipeline: Annotated[str, typer.Option(help="What is looked for.")] = "yolo_ocr",
    stride: Annotated[int, typer.Option(min=1, help="Analyse every N-th frame.", metavar="N")] = 1,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Analyse at most N frames.", metavar="N")] = None,
    max_workers: Annotated[
        int | None, typer.Option(min=1, help="Split the video among at most N workers.", metavar="N")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end of the job.")] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
) -> None:
    """Upload a video and print its job's id."""
    with reported(_ERRORS), _client(url) as client:
        with upload_bar(_ERRORS, file.name, size_of(file)) as on_progress:
            job_id = client.submit(file, pipeline, stride, max_frames, on_progress, max_workers=max_workers)
        if not (wait and as_json):
            _print(json.dumps({"job_id": str(job_id)}) if as_json else str(job_id))
        if not wait:
            return
        try:
            with job_bar(_ERRORS) as on_status:
                final = client.wait(job_id, on_status=on_status)
        except (KeyboardInterrupt, VidetteError):
            _note(f"The job may go on. Ask for it with: vidette status {job_id}")
            raise
        if as_json:
            _print_status(final)
        _end(final)


@app.command(cls=Command, epilog=_EPILOG)
def status(job_id: JobArgument, as_json: JsonOption = False, url: UrlOption = None) -> None:
    """Show where a job stands.

    Exits with 0 for a failed job too: the question was answered.
    """
    with reported(_ERRORS), _client(url) as client:
        found = client.status(_parse(job_id))
        if as_json:
            _print_status(found)
        else:
            Console().print(status_table(found))


@app.command(cls=Command, epilog=_EPILOG)
def results(
    job_id: JobArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, as the service has it.")] = False,
    ndjson: Annotated[
        bool, typer.Option("--ndjson", help="Print one JSON text a line, a line for each frame.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Print at most N frames.", metavar="N")] = None,
    url: UrlOption = None,
) -> None:
    """Show what was found in each analysed frame.

    A table of the first frames, or with --json or --ndjson all there is, however long.
    """
    if as_json and ndjson:
        raise typer.BadParameter("--json and --ndjson exclude each other.")
    with reported(_ERRORS), _client(url) as client:
        job = _parse(job_id)
        if ndjson:
            for line in itertools.islice(client.result_lines(job), limit):
                sys.stdout.buffer.write(line + b"\n")
        elif as_json:
            _print_document(client, job, limit)
        else:
            _print_table(client.results(job), limit)


@app.command(cls=Command, epilog=_EPILOG)
def verify(
    job_id: JobArgument,
    frames: Annotated[int, typer.Option(min=1, max=1000, help="Look at about N frames again.", metavar="N")] = 30,
    seed: Annotated[
        int | None, typer.Option(min=1, help="Draw the frames by this number; at random without it.", metavar="N")
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
) -> None:
    """Analyse some frames of a completed job again, and compare them with its results.

    Exits with 1 if one of them comes out otherwise. Numbers may differ by 0.001: a model's sums depend on what else is in its
    batch.
    """
    with reported(_ERRORS), _client(url) as client:
        with job_bar(_ERRORS) as on_status:
            found = client.verify(_parse(job_id), frames, seed, on_status=on_status)
        if as_json:
            _print(found.model_dump_json(exclude_unset=True))
        else:
            Console().print(verification_table(found))
        if not found.holds:
            say_error(_ERRORS, f"{found.different} of {found.frames} frames came out otherwise than they are stored.")
            raise typer.Exit(ExitCode.JOB_FAILED)


@app.command(cls=Command, epilog=_EPILOG)
def cancel(job_id: JobArgument, as_json: JsonOption = False, url: UrlOption = None) -> None:
    """End a job that is not wanted any more.

    Exits with 0 once the service has promised it; the job's status says `failed` soon after. A job that has ended already is
    refused.
    """
    with reported(_ERRORS), _client(url) as client:
        found = client.cancel(_parse(job_id))
        if as_json:
            _print_status(found)
        else:
            Console().print(status_table(found))


@app.command(cls=Command, epilog=_EPILOG)
def pipelines(as_json: JsonOption = False, url: UrlOption = None) -> None:
    """List what a video can be analysed with."""
    with reported(_ERRORS), _client(url) as client:
        found = client.pipelines()
        if as_json:
            _print(json.dumps({"pipelines": [one.model_dump(mode="json", exclude_unset=True) for one in found]}))
        else:
            Console().print(pipelines_table(found))


def _client(url: str | None) -> Client:
    return Client(url or ClientSettings().url)


def _parse(job_id: str) -> UUID:
    try:
        return UUID(job_id)
    except ValueError as error:
        # The service says the same of an id that is none, and so does the exit code.
        raise NotFound(404, "not_found", "Job not found.") from error


def _print(text: str) -> None:
    """At once, so that whoever reads the pipe has it before a long wait; in UTF-8, whatever the locale."""
    sys.stdout.buffer.write(text.encode() + b"\n")
    sys.stdout.buffer.flush()


def _note(sentence: str) -> None:
    _ERRORS.print(sentence, style="dim", markup=False, highlight=False, soft_wrap=True)


def _print_status(found: JobStatus) -> None:
    _print(found.model_dump_json(exclude_unset=True))


def _print_document(client: Client, job: UUID, limit: int | None) -> None:
    """The body of `GET /video/results`, written as its rows arrive."""
    facts = client.result_facts(job).model_dump(mode="json", exclude_unset=True, exclude={"job_id", "results"})
    lines = itertools.islice(client.result_lines(job), limit)
    first = next(lines, None)  # asked for before anything is written, so that an error leaves no half of a document
    out = sys.stdout.buffer
    out.write(f'{{"job_id": "{job}", "results": ['.encode())
    for number, line in enumerate(itertools.chain(() if first is None else (first,), lines)):
        out.write((b",\n" if number else b"\n") + line)
    _print(f"\n], {json.dumps(facts, ensure_ascii=False)[1:]}")


def _print_table(rows: Iterable[FrameRow], limit: int | None) -> None:
    shown = list(itertools.islice(rows, (limit or TABLE_ROWS) + 1))
    more = len(shown) > (limit or TABLE_ROWS)
    Console().print(results_table(shown[: limit or TABLE_ROWS]))
    if more:
        _note("There are more frames." if limit else "There are more frames: use --limit, --json or --ndjson.")


def _end(final: JobStatus) -> None:
    """A waited-for job's last word."""
    for warning in final.warnings:
        _ERRORS.print(f"warning {warning.code}: {warning.message}", markup=False, highlight=False, soft_wrap=True)
    if final.status is JobState.FAILED:
        why = final.error
        say_error(_ERRORS, f"The job failed: {why.code}: {why.message}" if why else "The job failed.")
        raise typer.Exit(ExitCode.JOB_FAILED)
    _note(f"Read the results with: vidette results {final.job_id}")


def _needs_plugins(arguments: Sequence[str]) -> bool:
    """Other packages are slow to import; the commands above do without them."""
    own = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    return not arguments or arguments[0] not in {*own, "--version"}


def main() -> None:
    """The entry point of the `vidette` command."""
    try:
        with reported(_ERRORS):
            if _needs_plugins(sys.argv[1:]):
                for plugin in plugins.load(plugins.installed(), lambda line: say_error(_ERRORS, line)):
                    app.add_typer(plugin)
            app()
    except typer.Exit as end:
        sys.exit(end.exit_code)


if __name__ == "__main__":
    main()

"""The exit codes of the `vidette` command, and the one place where an error becomes one."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer
from rich.console import Console

from vidette.display import plain
from vidette.errors import ClientCode, JobFailed, VidetteError
from vidette.settings import ClientSettings


class ExitCode(IntEnum):
    """Part of the public contract: scripts switch on these."""

    OK = 0
    JOB_FAILED = 1
    REFUSED = 2
    NOT_FOUND = 3
    UNAVAILABLE = 4
    UNFORESEEN = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.JOB_FAILED: "the job failed, or does not hold",
    ExitCode.REFUSED: "wrong usage, or the input was refused",
    ExitCode.NOT_FOUND: "no such job, or it is not completed",
    ExitCode.UNAVAILABLE: "the service is unavailable",
    ExitCode.UNFORESEEN: "an error in the command itself",
    ExitCode.INTERRUPTED: "interrupted",
}


def exit_code(error: VidetteError) -> ExitCode:
    """What the shell is told about an error."""
    if isinstance(error, JobFailed):
        return ExitCode.JOB_FAILED
    if error.code in {ClientCode.BAD_FILE, ClientCode.BAD_ADDRESS}:
        return ExitCode.REFUSED
    if error.status_code is None or error.code == ClientCode.BAD_ANSWER or error.status_code == 429:
        return ExitCode.UNAVAILABLE
    if error.status_code == 404:
        return ExitCode.NOT_FOUND
    return ExitCode.REFUSED if error.status_code < 500 else ExitCode.UNAVAILABLE


@contextmanager
def reported(errors: Console) -> Iterator[None]:
    """Runs a command's body: every end is one line on `errors` and an exit code.

    A stack is shown of an error that nobody foresaw only, and only with VIDETTE_DEBUG set.
    """
    try:
        yield
        sys.stdout.flush()
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise  # ends that are told already, or that Typer tells
    except VidetteError as error:
        say_error(errors, error.detail, error.retry_after)
        raise typer.Exit(exit_code(error)) from error
    except KeyboardInterrupt as error:
        errors.print("[yellow]interrupted[/]")
        raise typer.Exit(ExitCode.INTERRUPTED) from error
    except BrokenPipeError as error:
        # The reader has all it wanted (`| head`). What Python still holds for it goes nowhere, without a complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(ExitCode.OK) from error
    except Exception as error:
        _say_unforeseen(errors, error)
        raise typer.Exit(ExitCode.UNFORESEEN) from error


def _say_unforeseen(errors: Console, error: Exception) -> None:
    if ClientSettings().debug:
        traceback.print_exception(error)
    told = f"{type(error).__name__}: {plain(' '.join(str(error).split()))}".removesuffix(": ")
    say_error(errors, f"This should not have happened: {told} (VIDETTE_DEBUG=1 shows where)")


def say_error(errors: Console, sentence: str, retry_after: float | None = None) -> None:
    """One line in the form of all errors; the sentence may come from a server and is never read as markup."""
    errors.print("[bold red]error[/]", end=" ", soft_wrap=True)
    tail = f" Try again in {retry_after:.0f} s." if retry_after else ""
    errors.print(sentence + tail, markup=False, highlight=False, soft_wrap=True)

"""`vidette demo`: the sample clip through the whole stack.

A stack that runs already is used and left running; otherwise one is started in the user's own state folder, on a free port,
and stopped at the end. The stack lives in this process's event loop and main thread, the client in a thread beside it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from typing import Final
from uuid import UUID

from rich.console import Console

from vidette import Client, ClientCode, RetryPolicy, VidetteError
from vidette.errors import own_error
from vidette.exits import ExitCode, reported, say_error
from vidette_local import control
from vidette_local.demo_analysis import Demo, Stopped
from vidette_local.home import Home, HomeInUse, HomeUnusable
from vidette_local.parts.part import StartFailed
from vidette_local.run import kill_children
from vidette_local.settings import LocalSettings
from vidette_local.stack import PortTaken, Stack, first_free_port

_TERMINATED: Final = 128 + signal.SIGTERM
_STARTING_SECONDS: Final = 900.0
_LEAVE_SECONDS: Final = 10.0


def run_demo(settings: LocalSettings, frames: int, url: str | None = None) -> int:
    """Runs the demo against `url`, else against the stack that runs, else against one of its own; returns the exit code.

    Raises `VidetteError` when the service stops answering and `KeyboardInterrupt` on Ctrl-C, with what was started stopped.
    """
    home, errors = Home(settings.home), Console(stderr=True)
    demo = Demo(folder=settings.home / "demo", frames=frames, output=Console(), errors=errors)
    found = url or running_stack(home, errors) or _answering(settings.url)
    if found is None:
        return _on_own_stack(settings, demo)
    told = f"using the service at {found}, and leaving it running"
    errors.print(told, style="dim", markup=False, highlight=False, soft_wrap=True)
    return demo.run(found)


def _on_own_stack(settings: LocalSettings, demo: Demo) -> int:
    try:
        port = free_port(settings.http_port)
        return asyncio.run(_with_stack(settings.model_copy(update={"http_port": port}), demo))
    except asyncio.CancelledError:
        return _TERMINATED
    except (HomeInUse, HomeUnusable, PortTaken) as refusal:
        say_error(demo.errors, str(refusal))
        return ExitCode.REFUSED
    except StartFailed as failure:
        say_error(demo.errors, str(failure))
        return ExitCode.UNAVAILABLE


def running_stack(home: Home, errors: Console) -> str | None:
    """The address of the stack that holds this state folder, once all its parts are ready; None when none runs."""
    deadline = time.monotonic() + _STARTING_SECONDS
    waited = False
    while parts := control.ps(home):
        if all(part["state"] == "ready" for part in parts if not part["name"].startswith("worker-")):
            return next((f"http://{part['address']}" for part in parts if part["name"] == "api"), None)
        if time.monotonic() > deadline:
            raise own_error(ClientCode.TIMED_OUT, f"The stack in {home.path} does not get ready. See its logs.")
        if not waited:
            errors.print("waiting for the stack that is starting", style="dim")
        waited = True
        time.sleep(0.5)
    return None


def _answering(url: str) -> str | None:
    """The address, if a Vidette service is there. Only one knows how to say that it has no such job."""
    with Client(url, retries=RetryPolicy(attempts=1)) as client:
        try:
            client.status(UUID(int=0))
        except VidetteError as error:
            return url if error.code == "not_found" else None
    return None


def free_port(wanted: int) -> int:
    """`wanted`, or the next one above it that is free. Raises `PortTaken`."""
    port = first_free_port(wanted)
    if port is None:
        raise PortTaken(wanted)
    return port


async def _with_stack(settings: LocalSettings, demo: Demo) -> int:
    """Starts the stack, runs the demo beside it, stops the stack. SIGTERM ends it in good order, as Ctrl-C does."""
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)

    def say(who: str, what: str) -> None:
        demo.errors.print(f"{who:<11}{what}", style="dim", markup=False, highlight=False, soft_wrap=True)

    say("stack", f"starting in {settings.home}; the first start makes what the later ones find")
    try:
        async with Stack(settings, say) as stack:
            say("stack", f"ready on {stack.url}")
            try:
                return await _beside(stack.url, demo)
            finally:
                say("stack", "stopping")
    finally:
        kill_children()


async def _beside(url: str, demo: Demo) -> int:
    """The client's work in a thread. When this task is cancelled, the thread ends first and the stack after it."""
    running = asyncio.create_task(asyncio.to_thread(demo.run, url))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        demo.stopped.set()
        await asyncio.wait({running}, timeout=_LEAVE_SECONDS)
        with suppress(Stopped, VidetteError, asyncio.InvalidStateError):
            running.result()
        raise


def demo(settings: LocalSettings, frames: int, url: str | None) -> int:
    """The body of `vidette demo`; returns its exit code."""
    with reported(Console(stderr=True)):
        try:
            return run_demo(settings, frames, url)
        except control.NoAnswer as silence:
            raise own_error(ClientCode.UNREACHABLE, str(silence)) from silence

"""Where an episode happens: an embedded stack of its own, and a proxy on every way between two of its parts.

with place(folder) as there:
    there.ways[Way.API_POSTGRES].be(tcp_proxy.Mode.CUT)
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.proxied import WAYS, Ways
from tests.support.code_reader import add_code_pipeline
from tests.support.stacks import HASTE, free_port
from tests.support.tcp_proxy import TcpProxy
from tests.support.ways import TOLD, Way
from vidette_local import ports
from vidette_local.assembly import PORT_NAMES
from vidette_local.home import Home
from vidette_local.stack_process import StackProcess

CHUNK_FRAMES = 4
SETTLE_S = 60
START_S = 900.0
"""A limit only: on a machine that has much else to do even this is slow."""
ROOT = Path(__file__).resolve().parents[2]
PROXIED = (sys.executable, "-m", "tests.chaos.proxied", "up")
SETTINGS = {
    **HASTE,
    # Small chunks, and workers that cost nothing: even videos of seconds are split among several.
    "VIDETTE_CHUNK_FRAMES": str(CHUNK_FRAMES),
    "VIDETTE_WORKER_START_S": "0.0001",
    "VIDETTE_FRAME_COST_S": "0.2",
    "VIDETTE_MAX_RUNNING": "4",
    "VIDETTE_MAX_RUNNING_PER_TENANT": "4",
    "VIDETTE_MAX_WORKERS": "5",
    "VIDETTE_MAX_WORKERS_PER_TENANT": "5",
    # What is away for seconds is missed within seconds.
    "VIDETTE_DATABASE_TIMEOUT_S": "4",
    "VIDETTE_STORE_TIMEOUT_S": "5",
    "VIDETTE_STORE_COMPLETE_TIMEOUT_S": "10",
    "VIDETTE_NATS_TIMEOUT_S": "1",
    "VIDETTE_INFERENCE_TIMEOUT_S": "8",
    "VIDETTE_PATIENCE_S": "25",
    "VIDETTE_UPLOAD_HEARTBEAT_S": "2",
    "VIDETTE_SWEEP_UPLOAD_SILENCE_S": "12",
    # What is left in the store is removed once nobody can write there any more.
    "VIDETTE_SWEEP_SETTLE_S": str(SETTLE_S),
    "VIDETTE_SWEEP_INTERVAL_S": "3",
}


@dataclass(frozen=True, slots=True)
class Place:
    """`url` is what clients are told: the way to it can be cut. `direct` is the api itself."""

    stack: StackProcess
    ways: Mapping[Way, TcpProxy]
    numbers: Mapping[str, int]

    @property
    def home(self) -> Home:
        return self.stack.home

    @property
    def url(self) -> str:
        return self.ways[Way.CLIENT_API].url

    @property
    def direct(self) -> str:
        return self.stack.url


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    add_code_pipeline(home / "models")
    numbers = {**ports.load_or_pick(home / "ports.json", PORT_NAMES), "api": free_port()}
    with ExitStack() as opened:
        ways = {way: opened.enter_context(TcpProxy("127.0.0.1", numbers[way.server])) for way in Way}
        variables = {
            **SETTINGS,
            "VIDETTE_HTTP_PORT": str(numbers["api"]),
            "VIDETTE_STORE_WORKER_ENDPOINT": ways[Way.WORKER_S3].url,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            WAYS: json.dumps(_ways(ways, numbers)),
        }
        stack = StackProcess(home, variables, start_seconds=START_S, messages=folder / "messages", argv=PROXIED)
        yield Place(opened.enter_context(stack), ways, numbers)


def _ways(ways: Mapping[Way, TcpProxy], numbers: Mapping[str, int]) -> Ways:
    return {
        part: {
            variable: (f"127.0.0.1:{numbers[way.server]}", ways[way].address)
            for variable, way in told.items()
            if way is not Way.WORKER_S3  # the store's workers' address is a setting of the whole stack
        }
        for part, told in TOLD.items()
    }

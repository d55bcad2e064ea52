"""A Service of a cluster on a port of this machine, through kubectl, for clusters whose addresses are not routed here.

kubectl forwards to one pod, and ends or hangs when that one is replaced: then another is begun.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx

_LOOK_S = 1.0
_BEGIN_S = 5.0


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def forwarded(kubectl: Sequence[str], service: str, local: int, port: int) -> Iterator[str]:
    """The URL, which need not answer yet. `kubectl`: the program with its options."""
    url, over = f"http://127.0.0.1:{local}", threading.Event()
    command = [*kubectl, "port-forward", f"service/{service}", f"{local}:{port}"]

    def keep() -> None:
        while not over.is_set():
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            over.wait(_BEGIN_S)
            while process.poll() is None and answers(url):
                over.wait(_LOOK_S)
                if over.is_set():
                    break
            process.terminate()
            process.wait(10)

    keeper = threading.Thread(target=keep, name=f"port-forward {service}", daemon=True)
    keeper.start()
    try:
        yield url
    finally:
        over.set()
        keeper.join(30)

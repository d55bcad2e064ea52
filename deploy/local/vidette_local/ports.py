"""The TCP ports inside the stack: picked free at the first start, kept, and picked again only when somebody took them."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from vidette_local.home import write_private

LOOPBACK = "127.0.0.1"
_LOWEST = 20000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ATTEMPTS = 1000


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now. A connection in TIME_WAIT does not count, as it does not for servers."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _pick(taken: Iterable[int]) -> int:
    """A free port below the ephemeral range, so that no outgoing connection takes it while its server restarts."""
    try:
        highest = max(int(_EPHEMERAL_RANGE.read_text().split()[0]), _LOWEST + 1000)
    except (OSError, ValueError):
        highest = 32768
    for _ in range(_ATTEMPTS):
        port = random.randrange(_LOWEST, highest)
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port found between {_LOWEST} and {highest}")


def load_or_pick(path: Path, names: Iterable[str]) -> Mapping[str, int]:
    """The port for each name. Call it when nothing of the stack runs: a port in use is taken for somebody else's."""
    try:
        kept = {str(name): int(port) for name, port in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        kept = {}  # nothing depends on a port being the same as yesterday
    ports: dict[str, int] = {}
    for name in names:
        port = kept.get(name)
        if port is None or port in ports.values() or not is_free(port):
            port = _pick([*kept.values(), *ports.values()])
        ports[name] = port
    write_private(path, json.dumps(ports, indent=2))
    return ports

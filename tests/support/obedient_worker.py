"""A worker that does what its test says: it ends as the file named after its pod's job tells it to.

ORDERS is a folder. `ORDERS/<job name>` holds an exit code, or `kill N` to die by signal N, and is removed when it is obeyed.
SIGTERM ends it with 143, as a real worker; `ORDERS/stubborn` makes it ignore SIGTERM. `ORDERS/seen-<pod>` is its environment.
"""

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> int:
    orders = Path(os.environ["ORDERS"])
    pod = os.environ["VIDETTE_POD_NAME"]
    if (orders / "stubborn").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    unfinished = orders / f".seen-{pod}"
    unfinished.write_text(json.dumps(dict(os.environ)))
    unfinished.rename(orders / f"seen-{pod}")
    order = orders / pod.rpartition("-")[0]
    taken = orders / f".taken-{pod}"
    while True:
        try:
            order.rename(taken)  # of several workers one obeys
        except FileNotFoundError:
            time.sleep(0.02)
            continue
        told = taken.read_text()
        if told == f"kill {signal.SIGSEGV:d}":
            # Truly: to the first process of a container its own signals do nothing.
            ctypes.string_at(0)
        if told.startswith("kill "):
            os.kill(os.getpid(), int(told.removeprefix("kill ")))
        return int(told)


if __name__ == "__main__":
    sys.exit(main())

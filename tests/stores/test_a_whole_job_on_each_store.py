"""A video goes through the real stack on each store: uploaded in parts, read in ranges by workers, its rows written and read."""

from __future__ import annotations

import time
from pathlib import Path

from tests.stores.place import MIB
from tests.stores.record import Record
from tests.support.clips import numbered_clip
from tests.support.stacks import PIPELINE_ID, completed, numbers
from tests.support.store_servers import StoreKind
from tests.support.store_way import stack_before_a_store
from vidette.client import Client

FRAMES = 60
PADDING = 20 * MIB  # so that the upload has several parts


def test_its_rows_are_all_there_and_right(kind: StoreKind, tmp_path: Path, record: Record) -> None:
    clip = numbered_clip(tmp_path, FRAMES)
    with clip.open("ab") as file:  # a box of an MP4 that players pass over
        file.write((PADDING + 8).to_bytes(4, "big") + b"free" + bytes(PADDING))
    with stack_before_a_store(tmp_path, kind.part) as (stack, _), Client(stack.url) as client:
        began = time.monotonic()
        rows = completed(client, client.submit(clip, PIPELINE_ID))
        took = time.monotonic() - began
    assert numbers(rows) == [(index, index) for index in range(FRAMES)]
    record.did_a_job(kind.name, f"{took:.0f} s")

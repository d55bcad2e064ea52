"""docs/stores.md, made from what the stores did at the last `make test-stores`, which writes both; by itself it writes the page:

.venv/bin/python -m tests.support.stores_page
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "tests" / "stores" / "results.json"
PAGE = ROOT / "docs" / "stores.md"

_HEAD = """# Stores

Vidette keeps videos and results in an S3-compatible store of yours. This page is what four of them did on {tried}, each as one
server on one machine, over HTTP. `make test-stores` runs it all again and writes the page anew: it takes Go 1.26 for the two
that are built from their Go modules ([deploy/teststores](../deploy/teststores/README.md)), up to ten minutes for that the
first time, and four to six for the tests. The numbers are of a small machine that had other work to do: they tell a second from a
minute, and not one store from the next.
"""
_NEEDS = """## What Vidette needs

Presigned addresses are all that workers and their hostile videos get to see of the store, so what is refused here matters as much
as what is done. The api sends a video in parts of 8 MiB and lets the store put them together, for which it waits
`VIDETTE_STORE_COMPLETE_TIMEOUT_S`. All requests are in path style, without checksums that the store does not ask for.

The address of its own video is all that a worker gets: results are written by the gateway
([ADR 25](adr/0025-chunks-pass-through-the-gateway.md)), since some stores heed headers that were not signed (below). What is on
its way when a job ends may land for as long as the store takes a signed request, and is swept `VIDETTE_SWEEP_SETTLE_S` later.
"""
_UNNEEDED = """## What Vidette does without

Stores differ here, so nothing in Vidette builds on it: upload ids are kept in PostgreSQL and swept by the controller, each key
is written once, keys are `[a-z0-9/._-]`, and objects are deleted one by one. A **no** costs Vidette nothing.
"""
_SETTINGS = (
    (
        "`VIDETTE_STORE_ENDPOINT`",
        "`store.endpoint`",
        "scheme, host and port, without the bucket: `http://minio.minio:9000`, `https://s3.eu-central-1.amazonaws.com`",
    ),
    (
        "`VIDETTE_STORE_WORKER_ENDPOINT`",
        "`store.workerEndpoint`",
        "only where workers reach the store under another address; the host is part of what is signed, so that a proxy "
        "in between has to leave it as it is",
    ),
    ("`VIDETTE_STORE_BUCKET`", "`store.bucket`", "a bucket that exists, for Vidette alone"),
    (
        "`VIDETTE_STORE_REGION`",
        "`store.region`",
        "on AWS the region's name, elsewhere `us-east-1` unless the server was told another",
    ),
    (
        "`VIDETTE_STORE_ACCESS_KEY`, `VIDETTE_STORE_SECRET_KEY`",
        "`existingSecret`, `store.existingSecret`",
        "of a user with the policy below",
    ),
)
_VERSIONS = """
Bucket versioning and object lock keep what Vidette deletes: leave them off, or let a lifecycle rule remove old versions.
"""
_POLICY = """## The user's policy

Five actions, no more and no fewer: on {limiting} a user with this policy does everything that Vidette
does; with any one of the five taken away, this fails:
"""
_REMARKS = {
    "minio": "AGPL. Its community edition is archived, so that there will be no other release. Users with policies as usual.",
    "versitygw": "Apache-2.0, over a folder of a POSIX file system with extended attributes. Its users have no policies: the "
    "bucket's policy names them (`Principal`). It was started with `--iam-dir`, without which it has no users but root.",
    "seaweedfs": "Apache-2.0. An identity has `Read`, `Write` and `List` for a bucket in place of a policy, which is more than "
    "the five actions. After a crash it may answer 404 for seconds for what it has (ADR 5): wait for an object, not the port.",
    "juicefs": "Apache-2.0; what `make up` runs ([ADR 5](adr/0005-the-embedded-store-is-juicefs.md)), as one gateway with its "
    "metadata in SQLite. Its one user may do everything, so for production there are better ones.",
}
_NOT_TRIED = """## What was not tried

AWS S3 itself, Ceph's RADOS Gateway, Garage, Cloudflare R2 and every other hosted store; TLS; several nodes, replication, erasure
coding and a disk that is full; SeaweedFS' own policies and bucket policies; virtual-host style on SeaweedFS and JuiceFS, which
were started without a domain; whether a lifecycle rule that was taken does its work.
"""


def page(results: str) -> str:
    """The page of the text of results.json."""
    told: dict[str, Any] = json.loads(results)
    return "\n".join(
        [
            _HEAD.format(tried=told["tried"]),
            *_tried(told),
            _NEEDS,
            *_table(told, "needed"),
            _UNNEEDED,
            *_table(told, "unneeded"),
            "## Settings\n",
            *_header(["setting", "chart", "value"]),
            *map(_row, _SETTINGS),
            _VERSIONS,
            *_policy(told),
            *_stores(told),
            _NOT_TRIED.rstrip() + "\n",
        ]
    )


def _tried(told: dict[str, Any]) -> Iterator[str]:
    yield "| | version | the blob store's contract suite | a video through the whole stack |"
    yield "|---|---|---|---|"
    for store in told["stores"]:
        promises, job = told["promises"][store["name"]], told["jobs"][store["name"]]
        yield f"| {store['title']} | {store['version']} | all {promises} | done in {job} |"
    yield ""


def _table(told: dict[str, Any], which: str) -> Iterator[str]:
    stores = told["stores"]
    yield from _header(["", *(store["title"] for store in stores)])
    for row in told[which]:
        yield _row([row["question"], *(_cell(row["stores"][store["name"]]) for store in stores)])
    yield ""


def _cell(finding: dict[str, Any]) -> str:
    said = "yes" if finding["can"] else "**no**"
    return f"{said}: {finding['note']}" if finding["note"] else said


def _policy(told: dict[str, Any]) -> Iterator[str]:
    titles = {store["name"]: store["title"] for store in told["stores"]}
    yield _POLICY.format(limiting=" and on ".join(titles[name] for name in told["lost"]))
    yield from _header(["action", *(titles[name] for name in told["lost"])])
    for action in (each for statement in told["policy"]["Statement"] for each in statement["Action"]):
        yield _row([f"`{action}`", *(", ".join(calls[action]) for calls in told["lost"].values())])
    yield "\n```json\n" + json.dumps(told["policy"], indent=2) + "\n```\n"


def _stores(told: dict[str, Any]) -> Iterator[str]:
    yield "## Store by store\n"
    for store in told["stores"]:
        lacks = [row["question"] for row in told["unneeded"] if not row["stores"][store["name"]]["can"]]
        yield f"**{store['title']}.** {_REMARKS[store['name']]} Cannot: {'; '.join(lacks) or 'nothing of what was tried'}.\n"


def _header(cells: Iterable[str]) -> list[str]:
    named = list(cells)
    return [_row(named), "|---" * len(named) + "|"]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(RESULTS.read_text()))

"""`python -m tests.fuzz --cases 10000 --seed 1`: videos, forms and uploads. Ends with 1 where something was wrong."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.child import ended
from tests.fuzz.runner import content, fuzz
from tests.fuzz.uploads import LIMITS, MOST_GROWN_MIB, Uploads, fuzz_uploads
from tests.support.public_api import public_api
from tests.support.servers import StoreEndpoint, part_environment, postgres_running, s3_running
from tests.support.stores import store_settings
from vidette_core.settings import LogSettings
from vidette_core.telemetry.logs import configure_logs

SUBJECTS = ("videos", "forms", "uploads")


def main() -> int:
    options = _options()
    configure_logs(LogSettings(level="ERROR"), "fuzz")
    if options.replay:
        return _replay(options.replay, options.seed, options.case, options.keep)
    cases, wrong = range(options.first, options.first + options.cases), 0
    for subject in options.only or SUBJECTS:
        if subject == "uploads":
            found = _uploads(options.seed, cases)
            told = dict(found.codes.most_common())
            print(f"uploads: {found.codes.total()} cases, {found.grown_mib:+.1f} MiB in the second half: {told}")
            for case, what in found.wrong.items():
                print(f"WRONG, case {case}: {what}")
            wrong += len(found.wrong) + int(found.grown_mib > MOST_GROWN_MIB)
        else:
            report = fuzz(subject, options.seed, cases, processes=options.processes, keep=options.keep)
            print(f"{subject}: {report.text()}", flush=True)
            wrong += len(report.wrong)
    return int(wrong > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--cases", type=int, default=1000, help="of each subject")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=SUBJECTS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for the cases that crashed or went wrong, or are replayed")
    parser.add_argument("--replay", choices=SUBJECTS[:2], help="one case, here and without limits")
    parser.add_argument("--case", type=int, default=0)
    return parser.parse_args()


def _replay(subject: str, seed: int, case: int, keep: Path | None) -> int:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{subject}-{seed}-{case}").write_bytes(content(subject, seed, case))
    print(*ended(subject, seed, case), sep="\n")
    return 0


def _uploads(seed: int, cases: range) -> Uploads:
    with (
        TemporaryDirectory() as folder,
        postgres_running(Path(folder) / "postgres") as postgres,
        s3_running(Path(folder) / "s3") as store,
    ):
        variables = {**part_environment(), "VIDETTE_DATABASE_URL": postgres.url()}
        migrate = [sys.executable, "-m", "vidette_core.adapters.postgres.migrate"]
        subprocess.run(migrate, env=variables, check=True, timeout=120)
        return asyncio.run(_sent(postgres.url(), store, seed, cases))


async def _sent(url: str, store: StoreEndpoint, seed: int, cases: range) -> Uploads:
    async with public_api(url, store_settings(store), uploads=LIMITS) as api:
        return await fuzz_uploads(api, seed, cases)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m vidette_models`: fills a model repository, then ends. In a pod it runs before Triton, and before the api.

Exit status: 0 the repository is whole and its catalog published; 1 it is not, and a sentence says why; 2 wrong usage or settings.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from vidette_core.domain.pipelines import Catalog
from vidette_core.ports.errors import PortError
from vidette_models.bring import FolderSource, Source, StoreSource, bring
from vidette_models.builtin import write_builtin
from vidette_models.errors import UnsupportedModel
from vidette_models.pipelines_file import apply_file
from vidette_models.refusal import Refused
from vidette_models.repository import Repository
from vidette_models.triton_config import PRECISIONS, TensorRt


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    repository = Repository(asked.repository)
    try:
        catalog = asyncio.run(_filled(repository, asked))
        tensorrt = TensorRt(asked.tensorrt, asked.engines) if asked.tensorrt else None
        # Not the text models: TensorRT would build an engine for each shape of theirs.
        for name in {line.detector.model.name for line in catalog.pipelines if line.detector is not None}:
            repository.accelerate(name, tensorrt)
    except (Refused, UnsupportedModel, PortError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"{error.filename or repository.root}: {error.strerror}. Has the volume room, and may this user write?",
            file=sys.stderr,
        )
        return 1
    pipelines = ", ".join(pipeline.id for pipeline in catalog.pipelines)
    print(f"{repository.root} holds the pipelines {pipelines}.", flush=True)
    return 0


async def _filled(repository: Repository, asked: argparse.Namespace) -> Catalog:
    source = _source(asked)
    catalog = (
        write_builtin(repository.root, lasting=False) if source is None else await bring(source, repository, _tell)
    )
    if asked.pipelines is not None:
        apply_file(repository, asked.pipelines)
        catalog = repository.existing_catalog()
    return catalog


def _source(asked: argparse.Namespace) -> Source | None:
    if asked.from_folder is not None:
        return FolderSource(asked.from_folder)
    if asked.from_store is None:
        return None
    # Here, because whoever asks for no store needs neither its client nor its settings.
    from vidette_core.adapters.s3 import S3BlobStore
    from vidette_core.settings import StoreSettings, exit_on_wrong_settings

    try:
        settings = StoreSettings()
    except ValidationError as error:
        exit_on_wrong_settings(error)
    return StoreSource(S3BlobStore(settings), asked.from_store)


def _tell(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vidette_models", description="Fill a Triton model repository.")
    parser.add_argument("repository", type=Path, help="folder that Triton reads; made if need be")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--from-folder", type=Path, metavar="FOLDER", help="copy a repository, in place of the built-in models"
    )
    source.add_argument(
        "--from-store", metavar="PREFIX", help="the same, below a key prefix of the store of VIDETTE_STORE_..."
    )
    parser.add_argument("--pipelines", type=Path, metavar="FILE", help="TOML file with pipelines to add")
    parser.add_argument(
        "--tensorrt", choices=sorted(PRECISIONS), help="have detectors run by TensorRT, with this precision"
    )
    parser.add_argument("--engines", default="/engines", metavar="FOLDER", help="where Triton keeps TensorRT's engines")
    return parser


if __name__ == "__main__":
    sys.exit(main())

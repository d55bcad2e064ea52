"""Who serves the models of a state folder when a command changes them: the running stack, or nobody until the next start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from pydantic import SecretStr

from vidette_core.adapters.postgres.engine import Database
from vidette_core.adapters.postgres.reading import PostgresReader
from vidette_core.adapters.triton import TritonAdmin, TritonInference
from vidette_core.domain.pipelines import Detector, ModelRef
from vidette_core.ports.errors import PortError, Rejected, Unavailable
from vidette_core.ports.inference import Tensor
from vidette_core.ports.jobs import PipelinesInUse
from vidette_core.settings import DatabaseSettings
from vidette_local import control, credentials
from vidette_local.home import Home
from vidette_local.parts.postgres import PostgresPart
from vidette_local.settings import PartName
from vidette_local.supervisor import PartState
from vidette_models.refusal import Refused
from vidette_models.repository import Repository
from vidette_models.user_models import ModelServer, ServerTrouble

READY_SECONDS = 30.0
"""After Triton said that a model is loaded."""
_PROOF_SECONDS = 60.0
_DATABASE_SECONDS = 10.0
_OUTPUTS = ("boxes", "scores", "classes")


def server_of(home: Home) -> ModelServer:
    """The server of the models in `home` at this moment.

    Raises:
        ServerTrouble: a stack holds the folder, and it is starting, stopping, or does not answer.
    """
    repository = Repository(home.models)
    try:
        parts = {part["name"]: part for part in control.ps(home)}
    except control.NoAnswer as silence:
        raise ServerTrouble(f"{silence}. Try again in a moment.") from silence
    triton = parts.get(PartName.TRITON)
    if triton is None:
        return StoppedStack(repository)
    if triton["state"] != PartState.READY:
        raise ServerTrouble(f"Triton is {triton['state']}. Try again in a moment.")
    secrets = credentials.load_or_make(home.secrets)
    database = None
    postgres = parts.get(PartName.POSTGRES)
    if postgres is not None:
        port = int(postgres["address"].rpartition(":")[2])
        database = PostgresPart(home.postgres, port, secrets.postgres_password, {}).url()
    return RunningStack(repository, triton["address"], secrets.triton_control_secret, database)


class RunningStack:
    """Triton in explicit model control, and the database that knows the jobs.

    Args:
        triton: `host:port` of its gRPC.
        database: where the jobs are; None when this stack runs none, and then nobody can tell what they need.
    """

    def __init__(self, repository: Repository, triton: str, control_secret: str, database: str | None) -> None:
        self._repository = repository
        self._triton = triton
        self._secret = control_secret
        self._database = database

    def bring(self, detector: Detector) -> None:
        """As `ModelServer` says. Requests to the model's other versions are answered meanwhile."""
        model = detector.model
        with (
            _told_as_trouble(),
            TritonAdmin(self._triton, self._secret) as admin,
            TritonInference(self._triton, _PROOF_SECONDS) as inference,
        ):
            try:
                admin.load(model.name)
                _wait_ready(inference, model)
                answer = inference.infer(model, _blank(detector), _OUTPUTS)
            except Rejected as error:
                raise Refused(
                    f"{model.name} was not added: Triton cannot serve it ({error}). Export it anew."
                ) from error
        _check(model.name, answer)

    def settle(self, name: str) -> None:
        """As `ModelServer` says."""
        with _told_as_trouble(), TritonAdmin(self._triton, self._secret) as admin:
            if self._repository.versions(name):
                admin.load(name)
            else:
                admin.unload(name)

    def pinned(self) -> frozenset[ModelRef] | None:
        """As `ModelServer` says."""
        if self._database is None:
            return None
        with _told_as_trouble():
            used = asyncio.run(_pipelines_in_use(self._database))
        if used.uploading:
            return None
        return frozenset(model for pipeline in used.pipelines for model in pipeline.models)


class StoppedStack:
    """Nobody serves; the next start will. What can be proved without Triton is proved."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def bring(self, detector: Detector) -> None:
        """Run the model once in this process."""
        model = detector.model
        _check(model.name, _run_here(self._repository.file_of(model), model.name, _blank(detector)))

    def settle(self, name: str) -> None:
        """The next start serves what is there."""

    def pinned(self) -> frozenset[ModelRef] | None:
        """The database does not run, so unfinished jobs may need anything."""
        return None


def _wait_ready(inference: TritonInference, model: ModelRef) -> None:
    end = time.monotonic() + READY_SECONDS
    while not inference.is_ready(model):
        if time.monotonic() > end:
            raise Unavailable(f"version {model.version} of {model.name} was not ready within {READY_SECONDS:g} s")
        time.sleep(0.1)


def _blank(detector: Detector) -> dict[str, Tensor]:
    return {"frames": np.full((1, detector.size, detector.size, 3), 114, np.uint8)}


def _check(name: str, answer: dict[str, Tensor]) -> None:
    shapes = {output: tensor.shape for output, tensor in answer.items()}
    boxes, scores, classes = (shapes[output] for output in _OUTPUTS)
    if not (len(boxes) == 3 and boxes[0] == 1 and boxes[2] == 4 and scores == classes == boxes[:2]):
        raise Refused(f"{name} was not added: it answered {shapes}; expected boxes [1,K,4], scores and classes [1,K].")


def _run_here(path: Path, name: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return dict(zip(_OUTPUTS, session.run(list(_OUTPUTS), inputs), strict=True))
    except Exception as error:  # ONNX Runtime's own exceptions share no base below Exception
        words = " ".join(str(error).split())[:300]
        raise Refused(f"{name} was not added: ONNX Runtime cannot run it ({words}). Export it anew.") from error


async def _pipelines_in_use(url: str) -> PipelinesInUse:
    database = Database(DatabaseSettings(url=SecretStr(url), pool_size=1, timeout_s=_DATABASE_SECONDS))
    try:
        return await PostgresReader(database).pipelines_in_use()
    finally:
        await database.close()


@contextmanager
def _told_as_trouble() -> Iterator[None]:
    """What is away now is no fault of the model."""
    try:
        yield
    except PortError as error:
        raise ServerTrouble(f"{error}. Try again in a moment.") from error

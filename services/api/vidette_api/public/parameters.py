"""The fields beside the file: what each may be, and one sentence for each way of being wrong."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from vidette_api.catalog import CurrentCatalog
from vidette_api.public.form import Field, refused
from vidette_core.domain.errors import DomainError, ErrorCode, Problem
from vidette_core.domain.pipelines import Pipeline
from vidette_core.domain.sampling import Sampling

LARGEST = 2**31 - 1
"""What the database's integer holds; 2 years of video at 30 frames a second."""
_ABSENT = {"", "null"}
"""What browsers and generated clients send for an optional field that was left empty."""
_WHOLE = re.compile(r"[0-9]{1,16}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parameters:
    pipeline: Pipeline
    sampling: Sampling
    max_workers: int | None


class ParameterReader:
    """Takes the fields as they come, each checked at once, so that a bad one before the file is refused before the file."""

    def __init__(self, catalog: CurrentCatalog) -> None:
        self._catalog = catalog
        self._pipeline: Pipeline | None = None
        self._numbers: dict[str, int] = {}

    def take(self, field: Field) -> None:
        """Raises `DomainError` when the value is not allowed."""
        value = field.value.strip()
        if field.name == "pipeline_id":
            self._pipeline = self._known(value)
        elif value not in _ABSENT:
            self._numbers[field.name] = whole_number(field.name, value, LARGEST)

    def confirm(self) -> None:
        """Look the pipeline up again, if it has been named already. Raises `DomainError` when it has gone meanwhile.

        To be called once the job's row is there: only from then on are the versions safe that the catalog names, and a pipeline
        that was named before may be an older one.
        """
        if self._pipeline is not None:
            self._pipeline = self._known(self._pipeline.id)

    def complete(self) -> Parameters:
        """What was asked for, with the defaults. Raises `DomainError` when `pipeline_id` never came."""
        if self._pipeline is None:
            raise refused(f"The field pipeline_id is missing. Allowed: {self._allowed}.")
        sampling = Sampling(self._numbers.get("frame_stride", 1), self._numbers.get("max_frames"))
        return Parameters(self._pipeline, sampling, self._numbers.get("max_workers"))

    @property
    def _allowed(self) -> str:
        return ", ".join(self._catalog().ids) or "none; this installation has no pipeline"

    def _known(self, value: str) -> Pipeline | None:
        if not value:
            return None
        pipeline = self._catalog().get(value)
        if pipeline is None:
            message = f"Unknown pipeline_id {_shown(value)}. Allowed: {self._allowed}."
            raise DomainError(Problem(ErrorCode.UNKNOWN_PIPELINE, message))
        return pipeline


def given_once(query: Iterable[tuple[str, str]], allowed: Collection[str]) -> dict[str, str]:
    """The parameters of a query. Raises `DomainError` for a name twice or unknown."""
    given: dict[str, str] = {}
    for name, value in query:
        if name not in allowed:
            raise refused(f"Unknown query parameter {name[:100]!r}. Allowed are {', '.join(allowed)}.")
        if name in given:
            raise refused(f"The query parameter {name} was given twice; it is allowed once.")
        given[name] = value
    return given


def whole_number(name: str, value: str, largest: int) -> int:
    """A number from 1 to `largest`, which has at most 16 digits. Raises `DomainError`."""
    if not _WHOLE.fullmatch(value) or not 1 <= int(value) <= largest:
        raise refused(f"{name} must be a whole number from 1 to {largest}, not {_shown(value)}.")
    return int(value)


def _shown(value: str) -> str:
    """What the client sent, short and with control characters escaped."""
    return repr(value if len(value) <= 60 else value[:60] + "…")

"""The client's errors: a class for each code of the service, held against the service's own list and against the README."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import pytest

from tests.support.scripted_service import JOB
from vidette import errors as client_errors
from vidette.errors import (
    JOB_ERRORS,
    REQUEST_ERRORS,
    ClientCode,
    JobFailed,
    RequestRefused,
    ServiceFailed,
    ServiceUnavailable,
    VidetteError,
    job_failure,
    own_error,
    refusal,
)
from vidette_api.http_errors import STATUS
from vidette_core.domain.errors import ErrorCode

FOR_WORKERS = {ErrorCode.UNAUTHORIZED, ErrorCode.FENCED, ErrorCode.CONFLICT}
"""Codes that only the workers' gateway answers with."""
REFUSALS = {code: status for code, status in STATUS.items() if code not in FOR_WORKERS}
JOB_ENDS = {code for code in ErrorCode if code not in STATUS} | {ErrorCode.INTERNAL}
README = Path(__file__).parents[2] / "libs/client/README.md"
ROW = re.compile(
    r"^\| (?P<group>`\w+`)? *\| `(?P<name>\w+)` +\| `(?P<code>\w+)` +\| (?P<meaning>.+?) +\|$", re.MULTILINE
)


def group_of(status: int) -> type[VidetteError]:
    if status == 503:
        return ServiceUnavailable
    return ServiceFailed if status >= 500 else RequestRefused


@pytest.mark.parametrize("code", REFUSALS)
def test_every_code_that_a_client_is_refused_with_has_a_class_in_the_group_of_its_status(code: ErrorCode) -> None:
    status = REFUSALS[code]
    error = refusal(status, code.value, "A sentence.", 5.0)
    assert type(error) is REQUEST_ERRORS[code.value]
    assert error.own_code == code.value
    assert isinstance(error, group_of(status))
    assert (error.status_code, error.code, error.detail, error.retry_after) == (status, code, "A sentence.", 5.0)


def test_every_code_that_a_job_ends_with_has_a_class_and_no_other_code_has() -> None:
    assert set(JOB_ERRORS) == {code.value for code in JOB_ENDS}
    own = {code.value for code in ClientCode}
    assert set(REQUEST_ERRORS) - own == {code.value for code in REFUSALS}
    assert own.isdisjoint(code.value for code in ErrorCode)


@pytest.mark.parametrize("code", ClientCode)
def test_every_code_of_the_clients_own_has_a_class(code: ClientCode) -> None:
    error = own_error(code, "A sentence.")
    assert (error.own_code, error.code, error.status_code, str(error)) == (code, code, None, "A sentence.")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, RequestRefused),
        (402, RequestRefused),
        (429, ServiceUnavailable),
        (500, ServiceFailed),
        (501, ServiceFailed),
        (502, ServiceUnavailable),
        (503, ServiceUnavailable),
        (504, ServiceUnavailable),
    ],
)
def test_a_code_of_a_newer_service_is_an_error_of_its_group_and_kept(status: int, expected: type[VidetteError]) -> None:
    error = refusal(status, "of_next_year", "A sentence.", None)
    assert type(error) is expected
    assert error.code == "of_next_year"
    assert type(job_failure("of_next_year", "A sentence.", JOB)) is JobFailed


@pytest.mark.parametrize("copied", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
def test_errors_cross_processes_whole(copied: type) -> None:
    for error in (refusal(503, "store_unavailable", "Away.", 5.0), job_failure("cancelled", "Gone.", JOB)):
        twin = copied(error)
        assert type(twin) is type(error)
        assert vars(twin) == vars(error)
        assert str(twin) == error.detail


def test_the_readme_lists_every_class_under_its_group_with_its_code_and_its_meaning() -> None:
    told, group = {}, ""
    for row in ROW.finditer(README.read_text()):
        group = row["group"] or group
        told[row["name"]] = (group.strip("`"), row["code"], row["meaning"])
    kinds = [
        kind
        for kind in vars(client_errors).values()
        if isinstance(kind, type) and issubclass(kind, VidetteError) and kind.own_code is not None
    ]
    assert told == {
        kind.__name__: (kind.__base__.__name__, kind.own_code, kind.__doc__) for kind in kinds if kind.__base__
    }

"""The fields beside the file: their defaults, and a sentence with what is allowed for each that is wrong."""

from __future__ import annotations

import pytest

from tests.support.public_api import CATALOG, PIPELINE
from vidette_api.public.form import Field
from vidette_api.public.parameters import ParameterReader, Parameters
from vidette_core.domain.errors import DomainError, ErrorCode
from vidette_core.domain.pipelines import Catalog
from vidette_core.domain.sampling import Sampling


def read(**fields: str) -> Parameters:
    reader = ParameterReader(lambda: CATALOG)
    for name, value in fields.items():
        reader.take(Field(name, value))
    return reader.complete()


def test_what_is_not_given_has_its_default() -> None:
    assert read(pipeline_id="yolo_ocr") == Parameters(PIPELINE, Sampling(1, None), None)


def test_what_is_given_is_taken_in_any_order() -> None:
    given = read(max_frames="7", pipeline_id=" yolo_ocr ", max_workers="2", frame_stride="3")
    assert given == Parameters(PIPELINE, Sampling(3, 7), 2)


@pytest.mark.parametrize("absent", ["", "null", "  "])
@pytest.mark.parametrize("name", ["frame_stride", "max_frames", "max_workers"])
def test_an_empty_or_null_optional_field_counts_as_absent(name: str, absent: str) -> None:
    assert read(pipeline_id="yolo_ocr", **{name: absent}) == Parameters(PIPELINE, Sampling(1, None), None)


@pytest.mark.parametrize(
    "value", ["0", "-1", "1.5", "abc", "1e3", "+1", "1_0", "१", "2147483648", "9" * 100, "NaN", "true"]
)
@pytest.mark.parametrize("name", ["frame_stride", "max_frames", "max_workers"])
def test_what_is_no_whole_number_in_range_is_refused_with_the_range(name: str, value: str) -> None:
    with pytest.raises(DomainError) as caught:
        read(pipeline_id="yolo_ocr", **{name: value})
    assert caught.value.problem.code is ErrorCode.INVALID_REQUEST
    assert caught.value.problem.message.startswith(f"{name} must be a whole number from 1 to 2147483647, not '")
    assert len(caught.value.problem.message) < 200


def test_the_largest_number_is_taken() -> None:
    assert read(pipeline_id="yolo_ocr", max_frames="2147483647").sampling.max_frames == 2**31 - 1


@pytest.mark.parametrize("value", ["yolo", "YOLO_OCR", "null", "yolo_ocr\x00", "x" * 4000])
def test_an_unknown_pipeline_is_refused_with_those_that_are_known(value: str) -> None:
    with pytest.raises(DomainError) as caught:
        read(pipeline_id=value)
    assert caught.value.problem.code is ErrorCode.UNKNOWN_PIPELINE
    assert caught.value.problem.message.startswith("Unknown pipeline_id '")
    assert caught.value.problem.message.endswith(". Allowed: yolo_ocr, ocr.")
    assert "\x00" not in caught.value.problem.message


@pytest.mark.parametrize("fields", [{}, {"pipeline_id": ""}])
def test_a_missing_pipeline_is_refused_with_those_that_are_known(fields: dict[str, str]) -> None:
    with pytest.raises(DomainError) as caught:
        read(**fields)
    assert caught.value.problem.message == "The field pipeline_id is missing. Allowed: yolo_ocr, ocr."


def test_a_pipeline_named_before_the_job_exists_is_looked_up_again() -> None:
    newer = PIPELINE.model_copy(update={"description": "The next version."})
    catalogs = [CATALOG, Catalog(pipelines=(newer,))]
    reader = ParameterReader(lambda: catalogs[0])
    reader.take(Field("pipeline_id", "yolo_ocr"))
    del catalogs[0]
    reader.confirm()
    assert reader.complete().pipeline == newer


def test_a_pipeline_that_went_before_the_job_exists_is_refused() -> None:
    catalogs = [CATALOG, Catalog(pipelines=(PIPELINE,))]
    reader = ParameterReader(lambda: catalogs[0])
    reader.take(Field("pipeline_id", "ocr"))
    del catalogs[0]
    with pytest.raises(DomainError, match=r"Unknown pipeline_id 'ocr'\. Allowed: yolo_ocr\."):
        reader.confirm()

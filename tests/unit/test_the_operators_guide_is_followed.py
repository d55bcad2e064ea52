"""Each section of docs/operations.md about a cluster is followed by a test that has caused what the section is about."""

from __future__ import annotations

from tests.support.cluster import REPOSITORY
from tests.support.operators_guide import PAGE, PREPARATION, sections
from vidette_controller.explaining import reason_of
from vidette_controller.findings import Finding


def test_each_section_with_commands_is_followed_by_a_test_on_a_real_cluster() -> None:
    tests = "".join(test.read_text() for test in (REPOSITORY / "tests" / "cluster").glob("test_*.py"))
    assert len(sections()) > 10
    assert [section for section in sections() if f'"{section}"' not in tests and section != PREPARATION] == []


def test_whatever_is_told_on_a_job_is_explained_on_the_page() -> None:
    page = PAGE.read_text()
    assert [reason for finding in Finding if f"`{(reason := reason_of(finding))}`" not in page] == []

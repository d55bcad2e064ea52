"""What the chart says of its values, three times, is one and the same."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from tests.support.settings_page import SECTIONS
from tests.support.values_page import CHART, PAGE, page, values
from vidette.settings import ClientSettings
from vidette_core.settings import TracingSettings
from vidette_local.settings import LocalSettings

TEXT = (CHART / "values.yaml").read_text()
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def test_the_readmes_table_is_made_of_the_values() -> None:
    present = PAGE.read_text()
    assert present == page(present, TEXT), "write it anew: .venv/bin/python -m tests.support.values_page"


@pytest.mark.parametrize("value", list(values(TEXT)), ids=lambda value: value.path)
def test_each_value_says_what_it_means(value: Any) -> None:
    assert re.search(r"\w{3}.*[.:)0-9a-z]$", value.meaning), f"{value.path} has no comment"


def test_the_schema_knows_each_value_and_no_other() -> None:
    def compare(schema: dict[str, Any], data: dict[str, Any], path: str) -> None:
        if schema.get("additionalProperties") is not False or "properties" not in schema:
            return
        known = set(schema["properties"]) - {"global"}
        assert known == set(data), f"{path or 'the top'}: only in one of both: {known ^ set(data)}"
        for name, value in data.items():
            if isinstance(value, dict):
                compare(schema["properties"][name], value, f"{path}.{name}")

    compare(SCHEMA, yaml.safe_load(TEXT), "")


def test_each_value_that_a_template_reads_is_there() -> None:
    """A misspelt one would silently be nothing."""
    known = yaml.safe_load(TEXT)
    for file in sorted((CHART / "templates").iterdir()):
        for found in re.findall(r"\.Values((?:\.\w+)+)", file.read_text()):
            at: Any = known
            for name in found.strip(".").split("."):
                assert isinstance(at, dict), f"{file.name} reads {found}"
                assert name in at, f"{file.name} reads {found}"
                at = at[name]


def test_settings_takes_the_variables_that_the_chart_leaves_open_and_no_other() -> None:
    """A misspelt one, one that the chart would overrule and one with a secret are refused."""
    others = (LocalSettings, ClientSettings, TracingSettings)
    kinds = [kind for _, listed in SECTIONS for kind in listed if kind not in others]
    known = {f"{kind.model_config.get('env_prefix', '')}{name}".upper() for kind in kinds for name in kind.model_fields}
    templates = "".join(file.read_text() for file in sorted((CHART / "templates").iterdir()))
    set_by_the_chart = set(re.findall(r"VIDETTE_[A-Z0-9_]+", templates))
    fixed = {name for name in known if re.fullmatch(r"VIDETTE_(HTTP|GATEWAY|OPS)_(HOST|PORT)", name)}
    elsewhere = {"VIDETTE_JOBS_SOCKET", "VIDETTE_KUBERNETES_KUBECONFIG"}  # of an embedded stack, of another cluster
    allowed = sorted(known - set_by_the_chart - fixed - elsewhere)
    assert SCHEMA["properties"]["settings"]["propertyNames"]["enum"] == allowed

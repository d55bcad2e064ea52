"""What the documentation names exists, and the page of settings is what the code would write today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from tests.support.settings_page import SECTIONS
from tests.support.settings_page import page as settings_page

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "libs").glob("*/README.md")])
PAGES += sorted((ROOT / "tests").rglob("README.md"))
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)[^)]*\)")
MAKE = re.compile(r"`(?:[A-Z_]+=\S+ )*make ([a-z-]+)")
MODULE = re.compile(r"python -m ((?:tests|vidette)[\w.]*)")
SETTING = re.compile(r"\bVIDETTE_[A-Z_]+[A-Z]\b")


def test_the_page_of_settings_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page(), (
        "write it anew: .venv/bin/python -m tests.support.settings_page > docs/settings.md"
    )


def test_no_class_of_settings_is_left_out() -> None:
    ours = {kind for kind in _subclasses(BaseSettings) if kind.__module__.startswith("vidette")}
    shown = {kind for _, kinds in SECTIONS for kind in kinds}
    assert {kind.__name__ for kind in ours - shown} <= {"WorkerSettings"}  # which the controller sets for its workers


def test_every_setting_says_what_it_means() -> None:
    silent = [line for line in settings_page().splitlines() if re.fullmatch(r"\| `VIDETTE_.*\|\s*\|", line)]
    assert not silent


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_named_targets_modules_and_settings_exist(page: Path) -> None:
    text = page.read_text()
    assert not [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert not set(MAKE.findall(text)) - targets
    assert not [name for name in MODULE.findall(text) if not _module_exists(name)]
    known = set(SETTING.findall(settings_page())) | _names_in_code()
    assert not set(SETTING.findall(text)) - known


def _subclasses(kind: type[BaseSettings]) -> set[type[BaseSettings]]:
    direct = set(kind.__subclasses__())
    return direct.union(*(_subclasses(each) for each in direct))


def _module_exists(name: str) -> bool:
    path = Path(*name.split("."))
    roots = [ROOT, *ROOT.glob("libs/*"), *ROOT.glob("services/*"), ROOT / "deploy" / "local"]
    return any((root / path).with_suffix(".py").is_file() or (root / path).is_dir() for root in roots)


def _names_in_code() -> set[str]:
    """Variables that are no settings of a class: those that one part hands to another."""
    files = [*(ROOT / "deploy" / "local").rglob("*.py"), *(ROOT / "services").rglob("*.py")]
    return {name for file in files for name in SETTING.findall(file.read_text())}

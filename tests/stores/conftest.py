"""The four stores, each started once, and the record of what they did. Run by `make test-stores`, never by `make test`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stores.place import Place
from tests.stores.record import Record
from tests.support.store_servers import KINDS, StoreKind
from tests.support.stores_page import PAGE, RESULTS, page

_PLUGIN = "what-the-stores-did"


class Recorder:
    """Writes the results and the page anew, once all stores have done everything and nothing failed."""

    def __init__(self) -> None:
        self.record = Record()
        self.written = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed and "test_every_store_keeps_the_contract" in report.nodeid:
            self.record.promise_kept(report.nodeid.rpartition("[")[2].rstrip("]"))

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.OK and self.record.is_whole():
            results = self.record.as_json()
            RESULTS.write_text(results)
            PAGE.write_text(page(results))
            self.written = True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        said = "written anew" if self.written else "as it was: not every store has done everything without a failure"
        terminalreporter.write_line(f"docs/stores.md is {said}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Recorder(), _PLUGIN)


@pytest.fixture(scope="session")
def record(pytestconfig: pytest.Config) -> Record:
    recorder = pytestconfig.pluginmanager.get_plugin(_PLUGIN)
    assert isinstance(recorder, Recorder)
    return recorder.record


@pytest.fixture(scope="session", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> StoreKind:
    chosen: StoreKind = request.param
    return chosen


@pytest.fixture(scope="session")
def place(kind: StoreKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp(kind.name) / "store"
    with kind.running(folder) as store:
        yield Place(store, folder, kind.running)

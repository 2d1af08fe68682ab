"""The pytest plugin: gives tests ``wsk`` and ``wire``, and judges every case when its body has ended.

Inside a cell the worker runs pytest with a ``CellPlugin``; in an ordinary pytest run this module only says, should a
test ask for ``wsk`` or ``wire``, how to run it. A case passes only by a verdict: an assertion in the test can fail
it, its silence cannot pass it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from harness.api import ProviderUnreachable, Wire, Wsk
from harness.errors import UsageError, interruption
from harness.report.status import Status
from harness.session.session import Session

NO_LAB = "this test needs a guest: run it with `harness run --suite PATH`"


class CaseFailedError(Exception):
    """The verdict of a case was failed; its text lists the findings."""


class CaseInconclusiveError(Exception):
    """The verdict of a case was inconclusive; its text says what was wrong with the lab."""


class CellPlugin:
    """One cell's session as a pytest plugin.

    Args:
        session: the running cell: begins and ends cases, hands out ``wsk`` and ``wire``.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.collection_errors: list[str] = []

    @pytest.fixture
    def wsk(self) -> Wsk:
        """The driver under test as a WSK client."""
        return self.session.case.wsk

    @pytest.fixture
    def wire(self) -> Wire:
        """The DUT network."""
        return self.session.case.wire

    @pytest.fixture
    def provider(self) -> None:
        """Needed by tests that force the provider's behaviour: skips where it cannot be told."""
        _need_provider(self.session.case.wsk)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell how many cases there are before the first begins."""
        self.session.collected(len(session.items))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A test file that cannot be read is the user's error and must not look like an empty suite."""
        if report.failed:
            last = str(report.longrepr).strip().splitlines()[-1]
            self.collection_errors.append(f"{report.nodeid}: {last.removeprefix('E ').strip()}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Open the case: start marker on the wire."""
        self.session.begin_case(item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Run the body, then close the case and let the verdict speak."""
        error: BaseException | None = None
        answer = None
        try:
            answer = yield
        except Exception as caught:
            if interrupt := interruption(caught):
                raise interrupt from None
            error = caught
        except BaseException as caught:  # skip, exit and keyboard interrupt go on after the case is closed
            if isinstance(caught, pytest.skip.Exception):
                self.session.skip_case(str(caught))
            raise
        end = self.session.end_case(error)
        if end is Status.FAILED:
            raise CaseFailedError(self.session.case.reason) from error
        if end is Status.INCONCLUSIVE:
            raise CaseInconclusiveError(self.session.case.reason) from error
        return answer

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Errors and skips outside the body (fixtures, markers) become the case's result too."""
        report = yield
        if call.when != "call" and call.excinfo is not None:
            error = call.excinfo.value
            if isinstance(error, pytest.skip.Exception):
                self.session.skip_case(str(error))
            else:
                self.session.error_outside_body(error)
        return report


@pytest.fixture
def wsk(request: pytest.FixtureRequest) -> Wsk:
    """The driver under test as a WSK client; outside a cell it says how to run the test."""
    return _cell(request).session.case.wsk


@pytest.fixture
def wire(request: pytest.FixtureRequest) -> Wire:
    """The DUT network; outside a cell it says how to run the test."""
    return _cell(request).session.case.wire


@pytest.fixture
def provider(request: pytest.FixtureRequest) -> None:
    """Needed by tests that force the provider's behaviour: skips where it cannot be told."""
    _need_provider(_cell(request).session.case.wsk)


def _need_provider(wsk: Wsk) -> None:
    try:
        wsk.relent()
    except ProviderUnreachable as error:
        pytest.skip(f"the guest's WSK provider cannot be told how to behave ({error})")


def _cell(request: pytest.FixtureRequest) -> CellPlugin:
    for plugin in request.config.pluginmanager.get_plugins():
        if isinstance(plugin, CellPlugin):
            return plugin
    raise UsageError(NO_LAB)

"""Runs each test of a suite as a case, and keeps the ledger that pytest's own counts are held against.

A case spans the test's function-scoped fixtures: it begins before the first of them is set up and is judged when the
last has been torn down. Only then pytest hears of the test, so that its report says what the verdict says.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, cast

import pytest
from _pytest.runner import runtestprotocol

from harness.cell.api import ProviderUnreachable, Wire, Wsk
from harness.cell.current import Current
from harness.cell.deadline import CASE_SECONDS, CaseTimeout, CaseTimeoutError, Deadline, OwnAlarmError
from harness.cell.ledger import STRICT, Ending, Ledger, Raised, Report
from harness.cell.session import Session
from harness.cell.texts import described, plain, read
from harness.cell.threads import ThreadsLeftError
from harness.errors import HarnessError, Interrupted, LabError, UsageError, interruption
from harness.results.status import Status

PYTEST = "harness::pytest's own counts"
"""The case that a cell has when pytest's counts and the ledger differ."""

_SKIPS = (pytest.skip.Exception, unittest.SkipTest)
_BAD = (Status.FAILED, Status.INCONCLUSIVE)


class CaseFailedError(Exception):
    """A test raised what would end pytest; it is a failed test, and the others run."""


class CellPlugin:
    """One cell's session as a pytest plugin.

    Args:
        session: the running cell: begins and ends cases, hands out ``wsk`` and ``wire``.
        identify: the id of a test's case, by its file and pytest's node id.
        asked: somebody asked for some cases only (``-k``), so that others may be left out.
        seconds: what a case may take, unless a ``timeout`` marker says otherwise.
        stacks: an open file for the stacks of a test that cannot be broken into.
    """

    def __init__(
        self,
        session: Session,
        identify: Callable[[Path, str], str] = lambda path, nodeid: nodeid,
        *,
        asked: bool = False,
        seconds: float = CASE_SECONDS,
        stacks: TextIO | None = None,
    ) -> None:
        self.session = session
        self.collection_errors: list[str] = []
        self.ledger = Ledger()
        self.skipped_files: dict[str, str] = {}
        self.stopped = False
        self._identify, self._asked, self._seconds, self._stacks = identify, asked, seconds, stacks
        self.interrupted = False
        self._running = _Running("")
        self._logging = False
        self.current_wsk = cast(Wsk, Current(lambda: session.current.wsk))
        self.current_wire = cast(Wire, Current(lambda: session.current.wire))
        self._wide = False
        self.namesakes: list[str] = []
        self._collected: list[str] = []
        self._known: dict[str, str] = {}
        self._files: dict[str, Path] = {}
        self._counted: set[str] = set()

    @pytest.fixture(scope="session")
    def wsk(self) -> Wsk:
        """The driver under test as a WSK client, of whatever case or wider fixture runs."""
        return self.current_wsk

    @pytest.fixture(scope="session")
    def wire(self) -> Wire:
        """The DUT network, likewise."""
        return self.current_wire

    @pytest.fixture
    def provider(self) -> None:
        """Needed by tests that force the provider's behaviour: skips where it cannot be told."""
        need_provider(self.session.case.wsk)

    # What is collected.

    def pytest_configure(self, config: pytest.Config) -> None:
        """Make the marker known."""
        config.addinivalue_line("markers", "timeout(seconds): what the case may take, its fixtures included")

    def case_of(self, item: pytest.Item) -> str:
        """The id of a test's case, as all files have it."""
        return plain(self._identify(item.path, item.nodeid))

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Enter the test, before any hook can take it away."""
        self._known[item.nodeid] = case = self.case_of(item)
        if not self.ledger.enter(case) and (first := self._files[case]) != item.path:
            self.namesakes.append(f"{first} and {item.path} both have a case {case}")
        self._files.setdefault(case, item.path)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """A test that two suites have in common runs once; of two tests with one id none does."""
        ids = {item: case for item in reversed(items) if not self.ledger.has_ended(case := self.case_of(item))}
        once = {case: item for item, case in ids.items()}
        items[:] = [] if self.namesakes else list(reversed(once.values()))

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """A test that nobody asked for is not missed; one that a hook or the environment took away is."""
        for item in items:
            why = "" if self._asked else "not run: it was deselected, and no -k asked for that; mark it skip instead"
            self.ledger.leave_out(self.case_of(item), why)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell which cases there are before the first begins."""
        self._collected += [self.case_of(item) for item in session.items]
        self.session.collected(self._collected)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A test file that cannot be read is the user's error and must not look like an empty suite."""
        if report.passed:
            return
        file = plain(self._identify(Path("/", report.nodeid.partition("::")[0]), report.nodeid).partition("::")[0])
        if report.failed:
            last = str(report.longrepr).strip().splitlines()[-1]
            self.collection_errors.append(plain(f"{file}: {last.removeprefix('E ').strip()}"))
        else:
            self.skipped_files[file] = _text(report.longrepr) or "skipped without a reason"

    # One test.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run one test, end its case, and give pytest its reports, which say what the verdict says."""
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        self._running = _Running(self.case_of(item))
        reports: list[pytest.TestReport] = []
        try:
            self._running.deadline = Deadline(self._allowed(item), self._stacks, self.session.tell_clock)
            self.session.announce(self._running.case, self._running.deadline.seconds)
            with self.session.threads.hooked():
                reports = runtestprotocol(item, log=False, nextitem=nextitem)
        except Interrupted:
            raise
        except BaseException as error:
            self._note(item, "call", error)
            self._end(item, [])
            raise
        self._end(item, reports)
        self._logging = True
        try:
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
        finally:
            self._logging = False
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Have the case judged when the test's own fixtures are torn down, before wider ones are."""
        own = item.teardown

        def teardown() -> None:
            try:
                own()
            finally:
                left = self._judge(item)
            if left:
                raise ThreadsLeftError(left)

        setattr(item, "teardown", teardown)  # noqa: B010 (pytest calls it after the last function-scoped fixture)
        return (yield from self._phase(item, "setup"))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Run the body."""
        return (yield from self._phase(item, "call"))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Tear fixtures down; what ends that early must not leave wider ones for the next test."""
        try:
            return (yield from self._phase(item, "teardown"))
        except (Exception, pytest.skip.Exception, KeyboardInterrupt):
            raise
        except BaseException:
            item.session._setupstate.teardown_exact(nextitem)
            raise

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Begin the case before the first fixture that is the test's own."""
        if fixturedef.scope == "function":
            self._begin()
            return (yield)
        outermost = not self._wide
        self._wide = True
        if outermost:
            self.session.between(f"{fixturedef.scope} fixture {fixturedef.argname} before {self._running.case}")
        try:
            return (yield)
        finally:
            if outermost:
                self._wide = False
                self.session.end_between()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note what pytest knows of a phase; unittest's tests keep what they raise to themselves until now.

        pytest cannot report an exception whose ``__repr__`` raises SystemExit or KeyboardInterrupt; we do then.
        """
        try:
            report = yield
        except BaseException as error:
            if isinstance(interrupt := interruption(error), Interrupted):
                raise interrupt from None
            if call.excinfo is None or call.when == "collect":
                raise
            what = described(call.excinfo.value)
            report = pytest.TestReport(
                item.nodeid, item.location, {name: 1 for name in item.keywords}, "failed", what, call.when
            )
        if call.excinfo is not None:
            self._running.told[call.when] = call.excinfo.value
        else:
            self._running.told.pop(call.when, None)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failed subtest, and any report that is not one of ours."""
        if not self._logging and report.outcome == "failed":
            self.ledger[self._known.get(report.nodeid, plain(report.nodeid))].reports.append(_report(report))

    # The end.

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """The run is stopped: by the parent, or by ``pytest.exit`` in a test."""
        self.stopped = True
        self.interrupted = isinstance(excinfo.value, Interrupted)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Keep pytest's own counts."""
        terminal = session.config.pluginmanager.getplugin("terminalreporter")
        for kind in ("failed", "error") if terminal is not None else ():
            for report in terminal.stats.get(kind, ()):
                if nodeid := getattr(report, "nodeid", ""):
                    self._counted.add(self._known.get(nodeid, plain(nodeid)))

    def close(self, code: int) -> bool:
        """Give every case that did not end its result, and say where pytest's counts differ.

        Args:
            code: pytest's exit code.

        Returns:
            whether there is anything that the suite has a result of.
        """
        self.session.end_wider()
        missed = self.ledger.missed()
        for case, why in missed.items():
            self.session.without_run(case, Ending(doubts=(why,)))
        for file, why in self.skipped_files.items():
            self.session.without_run(file, Ending(skipped=why))
        differences = self.ledger.differences(self._counted, code, stopped=self.stopped)
        if differences:
            self.session.without_run(PYTEST, Ending(doubts=("; ".join(differences),)))
        return bool(self.ledger.ended or missed or self.skipped_files)

    def _phase(self, item: pytest.Item, when: str) -> Generator[None, object, object]:
        """One phase against the case's deadline; what it raises is noted before any other hook sees it."""
        try:
            with self._running.deadline.running(last=when == "teardown"):
                if when == "call":
                    self._begin()
                return (yield)
        except BaseException as error:
            if isinstance(interrupt := interruption(error), Interrupted):
                self._running.judged = True  # the worker ends, and the case has no verdict
                raise interrupt from None
            self._note(item, when, error)
            if isinstance(error, KeyboardInterrupt):
                raise CaseFailedError(described(error)) from error
            raise

    def _begin(self) -> None:
        running = self._running
        if not running.begun:
            self.session.end_between()
            running.begun = True
            self.session.threads.begin()
            self.session.begin_case(running.case)
            running.open = True

    def _judge(self, item: pytest.Item) -> list[str]:
        """Judge the case once, and say which threads of it go on; the test's deadline does not run meanwhile.

        A case that has not begun when its test is torn down (a wider fixture failed, or a fixture was not found) is
        left for ``_end``, which begins and judges it, so that the capture has both of its markers.
        """
        running = self._running
        if running.judged:
            return []
        left: list[str] = []
        if running.begun:
            running.judged = True
            with running.deadline.held():
                left = self.session.threads.left() if running.open else []
                if running.open:
                    skipped = bool(running.errors) and all(isinstance(error, _SKIPS) for error in running.errors)
                    self.session.judge_case(_worst(running.errors), skipped=skipped)
        self.session.between(f"wider fixtures after {running.case}")
        return left

    def _end(self, item: pytest.Item, reports: list[pytest.TestReport]) -> None:
        """End the case, exactly once, and make pytest's reports say what became of it."""
        running = self._running
        entry = self.ledger[running.case]
        for when, error in running.told.items():
            self._note(item, when, error)
        self.session.end_between()
        try:
            self._begin()
        except LabError as error:
            self._note(item, "setup", error)
        self._judge(item)
        entry.reports += [_report(report) for report in reports]
        marks = list(item.iter_markers("xfail"))
        entry.covered = bool(marks) and marks[0].kwargs.get("raises") is None
        status = self.session.finish_case(entry.ending())
        self.ledger.end(running.case, bad=status in _BAD)
        self.session.between(f"wider fixtures at the end, after {running.case}")
        _amend(reports, status, self.session.case.reason)

    def _note(self, item: pytest.Item, when: str, error: BaseException) -> None:
        """Enter what a phase raised, once."""
        running = self._running
        if any(error is known for known in running.errors):
            return
        running.errors.append(error)
        marked = any(True for _ in item.iter_markers("xfail"))
        kind, text = _told(error)
        if kind == "error" and when != "call" and not isinstance(error, HarnessError | CaseTimeout):
            text = f"a fixture of the test failed: {text}"
        expected = marked and not isinstance(error, CaseTimeout | CaseTimeoutError | ThreadsLeftError)
        self.ledger[running.case].raised.append(Raised(when, kind, text, expected))

    def _allowed(self, item: pytest.Item) -> float:
        """Seconds that the case may take.

        Raises:
            UsageError: the marker's argument is no number of seconds.
        """
        marker = item.get_closest_marker("timeout")
        if marker is None:
            return self._seconds
        given = marker.args[0] if marker.args else marker.kwargs.get("seconds", marker.kwargs.get("timeout"))
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < 1e6:
            raise UsageError(f"{item.nodeid}: timeout({given!r}) is no number of seconds", mend="write timeout(120)")
        return float(given)


@dataclass
class _Running:
    """The test that runs now.

    Args:
        case: its id.
        begun, open, judged: whether its case was begun, has its start marker, was judged.
        errors: what it raised, each once.
        told: what pytest knows that each phase raised.
    """

    case: str
    deadline: Deadline = field(default_factory=lambda: Deadline(CASE_SECONDS))
    begun: bool = False
    open: bool = False
    judged: bool = False
    errors: list[BaseException] = field(default_factory=list)
    told: dict[str, BaseException] = field(default_factory=dict)


def need_provider(wsk: Wsk) -> None:
    """Skip the test where the guest's WSK provider cannot be told how to behave."""
    try:
        wsk.relent()
    except ProviderUnreachable as error:
        pytest.skip(f"the guest's WSK provider cannot be told how to behave ({error})")


def _told(error: BaseException) -> tuple[str, str]:
    """Kind and text of what was raised, for the ledger."""
    if isinstance(error, _SKIPS):
        return "skip", plain(read(getattr(error, "msg", None) or error))
    if isinstance(error, pytest.xfail.Exception):
        return "xfail", plain(read(error.msg))
    if isinstance(error, pytest.exit.Exception):
        return "exit", described(error)
    if isinstance(error, LabError):
        return "lab", plain(error.line())
    if isinstance(error, HarnessError):
        return "error", plain(error.line())
    if isinstance(error, CaseTimeout | CaseTimeoutError | OwnAlarmError):
        return "error", plain(str(error))
    return "error", described(error)


def _worst(errors: list[BaseException]) -> BaseException | None:
    """What decides how the case can still be judged: a hang, then a lost lab, then whatever came first."""
    for kind in (CaseTimeout, CaseTimeoutError, LabError, HarnessError):
        for error in errors:
            if isinstance(error, kind):
                return error
    return next((error for error in errors if not isinstance(error, _SKIPS)), None)


def _report(report: pytest.TestReport) -> Report:
    return Report(str(report.when), report.outcome, getattr(report, "wasxfail", None), _text(report.longrepr))


def _text(shown: object) -> str:
    """The one line of what pytest shows of a failure or a skip."""
    if isinstance(shown, tuple):
        return plain(str(shown[-1]).removeprefix("Skipped: "))
    crash = getattr(shown, "reprcrash", None)
    lines = str(crash.message if crash is not None else shown or "").strip().splitlines()
    return plain(lines[0]) if lines else ""


def _amend(reports: list[pytest.TestReport], status: Status, reason: str) -> None:
    """Make pytest's reports of a test say what its case says, so that pytest counts it so."""
    called = next((report for report in reports if report.when == "call"), reports[-1] if reports else None)
    if called is None:
        return
    if status in _BAD and not any(report.outcome == "failed" for report in reports):
        called.outcome, called.longrepr = "failed", reason
        if hasattr(called, "wasxfail"):
            del called.wasxfail
    elif status is Status.SKIPPED and (called.passed or _text(called.longrepr).startswith(STRICT)):
        called.outcome, called.longrepr = "skipped", reason
        called.wasxfail = reason.removeprefix("xfailed").lstrip(": ")

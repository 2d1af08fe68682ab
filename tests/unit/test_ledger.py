"""Each collected case ends once, by the worst that is known of it; pytest's outcome and the run's are the same."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cell.job import Cell, CellJob
from harness.cell.suite import SUITE_LOG, run_suite
from harness.control.wskctl import WskCtl
from harness.driver_verifier.findings import Symbols, findings, parse
from harness.errors import LabError
from harness.results.record import OWN, UNLOAD
from harness.results.status import Status
from harness.verify.verdict import Finding
from harness.wsk import operations as op
from tests.unit.test_driver_wskctl import Relay, driver
from tests.unit.test_session_case import NUMBER
from tests.unit.test_session_case import Cell as StandIn

HEAD = """
import pytest, sys, threading, time, unittest, warnings
from harness.control.wskctl import WskCtl
from harness.errors import LabError

def send(wsk, wire):
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"x", wire.peer(9)))

class Odd(Exception):
    def __str__(self):
        raise ValueError("no text")
    __repr__ = __str__

class Rude(Exception):
    def __str__(self):
        raise KeyboardInterrupt
    def __repr__(self):
        raise SystemExit(0)

"""
GOOD = "def test_good(wsk, wire):\n    send(wsk, wire)\n"


class Suite:
    """A suite that runs in a session over stand-ins, as a cell runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cell = StandIn(folder)
        self.timeout = 60.0
        self.arguments: tuple[str, ...] = ()

    def run(self, body: str, conftest: str = "") -> dict[str, tuple[Status, str]]:
        """Status and reason by the test's name."""
        tests = self.folder / f"suite{next(NUMBER)}"
        tests.mkdir()
        (tests / f"test_{tests.name}.py").write_text(HEAD + textwrap.dedent(body), encoding="utf-8")
        if conftest:
            (tests / "conftest.py").write_text(textwrap.dedent(conftest))
        job = CellJob(Cell("wine", "e1000"), "r", self.folder, "i", Path("/d"), Path("/r"), suite=(tests,))
        self.cell.session.results.clear()
        run_suite(replace(job, pytest_args=self.arguments, timeout=self.timeout), self.cell.session)
        results = self.cell.session.results
        assert len({result.id for result in results}) == len(results), "a case has two results"
        for result in results:
            result.reason.encode()
        return {
            result.id if result.id.startswith(OWN) else result.name: (result.status, result.reason)
            for result in results
        }

    @property
    def log(self) -> str:
        """What pytest said."""
        return (self.folder / SUITE_LOG).read_text()


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


FAILING = {
    "pytest.fail": "pytest.fail('not what I wanted')",
    "raises that sees nothing": "with pytest.raises(ValueError):\n        pass",
    "warns that sees nothing": "with pytest.warns(UserWarning):\n        pass",
    "sys.exit": "sys.exit(0)",
    "a BaseException": "raise BaseException('base')",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "GeneratorExit": "raise GeneratorExit",
    "a lone surrogate": "raise ValueError('caf\\udce9.bin')",
    "a text that cannot be read": "raise Odd",
    "a text that interrupts": "raise Rude",
    "a reason that interrupts": "pytest.fail(Rude())",
    "a group": "raise BaseExceptionGroup('several', [SystemExit(0)])",
    "a thread": "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
    "recursion": "test_bad(wsk, wire)",
}


@pytest.mark.parametrize("what", FAILING)
def test_what_fails_in_pytest_fails_in_the_run(suite: Suite, what: str) -> None:
    found = suite.run(f"def test_bad(wsk, wire):\n    send(wsk, wire)\n    {FAILING[what]}\n{GOOD}")
    assert {name: status for name, (status, _) in found.items()} == {
        "test_bad": Status.FAILED,
        "test_good": Status.PASSED,
    }
    assert found["test_bad"][1]
    assert "hook" not in found["test_bad"][1]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "raised", ["sys.exit(0)", "pytest.fail('no')", "raise BaseException", "raise Odd", "raise Rude"]
)
@pytest.mark.parametrize("scope", ["function", "module", "session"])
def test_what_a_fixture_raises_fails_its_test(suite: Suite, when: str, raised: str, scope: str) -> None:
    lines = [raised, "yield"] if when == "before" else ["yield", raised]
    fixture = f"@pytest.fixture(scope={scope!r})\ndef broken():\n    {lines[0]}\n    {lines[1]}\n"
    found = suite.run(f"{GOOD}{fixture}def test_bad(wsk, wire, broken):\n    send(wsk, wire)\n")
    assert (found["test_good"][0], found["test_bad"][0]) == (Status.PASSED, Status.FAILED), found
    assert "a fixture of the test failed" in found["test_bad"][1]


def test_a_file_that_cannot_be_read_is_named_and_pytest_says_nothing_of_the_harness(tmp_path: Path) -> None:
    # Not in this process, in which pytest itself has imported the harness.
    inner = "import sys; from pathlib import Path; from tests.unit.test_ledger import Suite\n"
    inner += "Suite(Path(sys.argv[1])).run('import nonesuch_module')\n"
    argv = [sys.executable, "-c", inner, str(tmp_path)]
    done = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert "UsageError: a test file cannot be read" in done.stderr
    log = (tmp_path / SUITE_LOG).read_text()
    assert "No module named 'nonesuch_module'" in log
    assert "cannot be rewritten; harness" not in log


NEVER_SET_UP = {
    "a fixture that is not there": "def test_bad(nonesuch):\n    pass\n",
    "usefixtures": "@pytest.mark.usefixtures('nonesuch')\ndef test_bad(wsk):\n    pass\n",
    "setUpClass": """
        class TestIt(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                raise OSError("class")
            def test_bad(self):
                pass
    """,
    "setup_module": "def setup_module():\n    sys.exit(0)\n\ndef test_bad(wsk):\n    pass\n",
    "setup_class": """
        class TestIt:
            def setup_class(self):
                assert 0
            def test_bad(self):
                pass
    """,
}


@pytest.mark.parametrize("how", NEVER_SET_UP)
def test_a_case_that_fails_before_its_own_fixtures_has_both_markers(suite: Suite, how: str) -> None:
    found = suite.run(NEVER_SET_UP[how])
    assert found["test_bad"][0] is Status.FAILED
    bridge = suite.cell.bridge
    assert bridge.started == bridge.ended
    assert len(bridge.started) == 1


SUBTESTS = {
    "fixture": """
        def test_bad(wsk, wire, subtests):
            for number in range(3):
                with subtests.test(number=number):
                    assert number != 1
    """,
    "unittest": """
        class TestSub(unittest.TestCase):
            def test_bad(self):
                for number in range(3):
                    with self.subTest(number=number):
                        self.assertNotEqual(number, 1)
    """,
}


@pytest.mark.parametrize("kind", SUBTESTS)
def test_a_failed_subtest_fails_its_test(suite: Suite, kind: str) -> None:
    found = suite.run(textwrap.dedent(SUBTESTS[kind]) + GOOD)
    assert (found["test_bad"][0], found["test_good"][0]) == (Status.FAILED, Status.PASSED), found


MARKED = "@pytest.mark.xfail({})\ndef test_it(wsk, wire):\n    send(wsk, wire)\n    {}\n"
XFAIL = {
    "fails": (MARKED.format("reason='known'", "assert False"), Status.SKIPPED, "xfailed: known"),
    "strict, passes": (MARKED.format("reason='known', strict=True", "pass"), Status.FAILED, "[XPASS(strict)] known"),
    "passes": (MARKED.format("reason='known'", "pass"), Status.PASSED, "passed, though marked xfail: known"),
    "another error": (MARKED.format("raises=OSError", "assert False"), Status.FAILED, "AssertionError"),
    "the lab": (MARKED.format("", "raise LabError('cable')"), Status.INCONCLUSIVE, "cable"),
    "not run": (MARKED.format("reason='known', run=False", "assert False"), Status.SKIPPED, "xfailed: [NOTRUN] known"),
    "called": (
        "def test_it(wsk, wire):\n    send(wsk, wire)\n    pytest.xfail('known')\n",
        Status.SKIPPED,
        "xfailed: known",
    ),
    "skip without a word": ("def test_it(wsk):\n    pytest.skip()\n", Status.SKIPPED, "skipped without a reason"),
}


@pytest.mark.parametrize("what", XFAIL)
def test_marks_mean_what_they_mean_in_pytest(suite: Suite, what: str) -> None:
    body, status, reason = XFAIL[what]
    found = suite.run(GOOD + body)["test_it"]
    assert found[0] is status
    assert found[1].startswith(reason)


@pytest.mark.parametrize("strict", [True, False])
def test_a_failed_verdict_on_the_wire_is_a_failure_that_a_mark_may_expect(suite: Suite, strict: bool) -> None:
    suite.cell.bridge.change = lambda frames: frames[:-1]
    assert suite.run(MARKED.format(f"reason='loses', strict={strict}", "pass"))["test_it"] == (
        Status.SKIPPED,
        "xfailed: loses",
    )
    assert suite.run(MARKED.format(f"raises=OSError, strict={strict}", "pass"))["test_it"][0] is Status.FAILED


LIES = {
    "makereport says passed": """
        import pytest
        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_makereport(item, call):
            report = (yield).get_result()
            report.outcome = "passed"
    """,
    "makereport makes its own": """
        import pytest
        from _pytest.reports import TestReport
        def pytest_runtest_makereport(item, call):
            return TestReport(item.nodeid, item.location, {}, "passed", None, call.when)
    """,
    "the call is swallowed": """
        import pytest
        @pytest.hookimpl(hookwrapper=True, tryfirst=True)
        def pytest_runtest_call(item):
            (yield)._exception = None
    """,
    "the exit code is changed": """
        def pytest_sessionfinish(session):
            session.testsfailed = 0
            session.exitstatus = 0
    """,
    "the session forgets": """
        import pytest
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logreport(report):
            report.outcome = "passed"
    """,
    "skipped": """
        import pytest
        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_makereport(item, call):
            report = (yield).get_result()
            if report.failed:
                report.outcome, report.longrepr = "skipped", ("x", 1, "nothing to see")
    """,
}


@pytest.mark.parametrize("lie", LIES)
def test_no_hook_makes_a_failed_case_pass(suite: Suite, lie: str) -> None:
    found = suite.run(f"def test_bad(wsk, wire):\n    assert False\n{GOOD}", LIES[lie])
    assert found["test_bad"][0] is Status.FAILED, found
    assert found["test_good"][0] is Status.PASSED


def test_a_hook_that_fails_a_test_is_believed(suite: Suite) -> None:
    hook = """
        import pytest
        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_makereport(item, call):
            report = (yield).get_result()
            if call.when == "call" and "good" in item.name:
                report.outcome, report.longrepr = "failed", "the log holds an error"
    """
    assert suite.run(GOOD, hook)["test_good"] == (Status.FAILED, "the log holds an error")


MISSING = {
    "taken away": "def pytest_collection_modifyitems(items):\n    del items[0]\n",
    "deselected": (
        "def pytest_collection_modifyitems(items, config):\n    config.hook.pytest_deselected(items=[items.pop(0)])\n"
    ),
    "never run": (
        "import pytest\n@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_runtest_protocol(item):\n    return True if 'bad' in item.name else None\n"
    ),
    "stopped": "def pytest_runtest_logreport(report):\n    pass\n",
}


@pytest.mark.parametrize("how", MISSING)
def test_a_case_that_never_ran_is_named_and_inconclusive(suite: Suite, how: str) -> None:
    first = "def test_ends(wsk):\n    pytest.exit('enough')\n" if how == "stopped" else ""
    found = suite.run(f"{first}def test_bad(wsk, wire):\n    assert False\n{GOOD}", MISSING[how])
    assert found["test_bad"][0] is Status.INCONCLUSIVE
    assert "not run" in found["test_bad"][1]
    if how == "stopped":
        assert found["test_ends"] == (Status.INCONCLUSIVE, "the test ended the whole run: Exit: enough")


def test_what_k_leaves_out_is_not_missed(suite: Suite) -> None:
    suite.arguments = ("-k", "good")
    assert suite.run(f"def test_bad():\n    assert False\n{GOOD}") == {"test_good": (Status.PASSED, "")}


def test_a_file_that_skips_itself_is_skipped_with_its_reason(suite: Suite) -> None:
    found = suite.run("pytest.skip('not on this host', allow_module_level=True)")
    assert list(found.values()) == [(Status.SKIPPED, "not on this host")]


def test_a_lab_error_that_a_test_or_thread_catches_is_not_lost(suite: Suite) -> None:
    suite.cell.driver.error = LabError("the connection broke")
    body = """
        def test_catches(wsk):
            try:
                wsk.open()
            except LabError:
                pass
    """
    assert suite.run(body)["test_catches"] == (Status.INCONCLUSIVE, "the connection broke")
    thread = """
        def test_thread(wsk):
            def quietly():
                try:
                    wsk.open()
                except LabError:
                    pass
            thread = threading.Thread(target=quietly)
            thread.start()
            thread.join()
    """
    suite.cell.session._lost = ""
    assert suite.run(thread)["test_thread"] == (Status.INCONCLUSIVE, "the connection broke")


def test_the_books_of_a_wrong_type_are_no_pass(suite: Suite) -> None:
    suite.cell.driver.books = 7  # type: ignore[assignment]
    status, reason = suite.run(GOOD)["test_good"]
    assert status is Status.INCONCLUSIVE
    assert "could not be judged" in reason


def test_a_relay_that_answers_with_too_few_bytes_at_the_end_of_a_case_is_no_pass(suite: Suite) -> None:
    class Cut(Relay):
        def _ask(self, code: int, payload: bytes) -> tuple[int, bytes]:
            self._out.put(bytes([3, 0, 0, 0, 1, 2, 3]))  # a length and three bytes where a reply has twelve
            return super()._ask(code, payload)

    control = WskCtl(Cut(driver))
    suite.cell.driver.accounts = control.accounts  # type: ignore[method-assign]
    found = suite.run(f"{GOOD}def test_next(wsk, wire):\n    send(wsk, wire)\n")
    assert found["test_good"] == (
        Status.INCONCLUSIVE,
        "the relay in the guest answered with 7 bytes, fewer than a reply has",
    )
    assert found["test_next"][0] is Status.INCONCLUSIVE
    control.close()


def test_a_lab_error_at_unload_is_a_case(suite: Suite) -> None:
    suite.run(GOOD)

    def unload() -> None:
        raise LabError("the relay ended")

    suite.cell.session.end(unload)
    last = suite.cell.session.results[-1]
    assert (last.id, last.status, last.reason) == (UNLOAD, Status.INCONCLUSIVE, "the relay ended")


FIXTURES = """
    @pytest.fixture
    def sock(wsk):
        with wsk.datagram_socket() as opened:
            yield opened

    @pytest.fixture
    def farewell(sock, wire):
        yield
        wire.expect_nothing(sock.send_to(b"this does leave", wire.peer(9)))

    def test_first(sock, wire):
        wire.expect(sock.send_to(b"x", wire.peer(9)))

    def test_wrong(farewell):
        pass

    def test_last(wsk, wire):
        send(wsk, wire)
"""


def test_a_case_spans_its_fixtures(suite: Suite) -> None:
    found = suite.run(FIXTURES)
    assert [status for status, _ in found.values()] == [Status.PASSED, Status.FAILED, Status.PASSED]
    steps: dict[str, list[str]] = {}
    for step in suite.cell.bridge.every:
        steps.setdefault(step.case.rpartition("::")[2], []).append(type(step.operation).__name__)
    assert [names[-1] for names in steps.values()] == ["Close", "Close", "Close"]


def test_a_test_that_hangs_fails_with_its_stack_and_the_next_one_runs(suite: Suite) -> None:
    suite.timeout = 0.3
    hangs = """
        def wait_for_ever():
            while True:
                time.sleep(60)

        def test_body(wsk):
            wait_for_ever()

        def test_in_a_join(wsk):
            thread = threading.Thread(target=time.sleep, args=(5,), daemon=True)
            thread.start()
            thread.join()

        def test_that_catches_everything(wsk):
            try:
                wait_for_ever()
            except Exception:
                pass

        @pytest.fixture
        def slow():
            yield
            wait_for_ever()

        def test_teardown(slow, wsk):
            pass

        @pytest.mark.timeout(30)
        def test_may_take_longer(wsk):
            time.sleep(0.5)

    """
    found = suite.run(textwrap.dedent(hangs) + GOOD)
    passed = ("test_may_take_longer", "test_good")
    assert {name: status for name, (status, _) in found.items()} == {
        name: Status.PASSED if name in passed else Status.FAILED for name in found
    }
    assert "did not end within 0.3 s" in found["test_body"][1]
    assert "in wait_for_ever < " in found["test_body"][1]
    assert "in test_body" in found["test_body"][1]


def test_a_tests_own_alarm_is_not_the_deadline(suite: Suite) -> None:
    own = """
        import contextlib, signal

        def test_alarm(wsk):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            time.sleep(30)

        def test_handler_of_its_own(wsk):
            rung = []
            before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            time.sleep(0.2)
            signal.signal(signal.SIGALRM, before)
            assert rung

        @pytest.mark.timeout(0.3)
        def test_hangs_after_its_alarm(wsk):
            with contextlib.suppress(Exception):
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                time.sleep(30)
            time.sleep(30)
    """
    found = suite.run(own)
    assert "the test raised SIGALRM itself: test_" in found["test_alarm"][1]
    assert found["test_handler_of_its_own"] == (Status.PASSED, "")
    status, reason = found["test_hangs_after_its_alarm"]
    assert status is Status.FAILED
    assert "did not end within 0.3 s" in reason


def test_a_test_that_disarms_its_deadline_or_catches_it_is_failed_by_the_clock(suite: Suite) -> None:
    suite.timeout = 0.1
    disarms = """
        import signal

        def test_alarm_0(wsk):
            signal.alarm(0)
            time.sleep(0.2)

        def test_ignores(wsk):
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            time.sleep(0.2)

        def test_catches(wsk):
            try:
                time.sleep(0.2)
            except BaseException:
                pass

        def test_next(wsk):
            pass
    """
    found = suite.run(disarms)
    assert found.pop("test_next") == (Status.PASSED, "")
    assert len(found) == 3
    for status, reason in found.values():
        assert status is Status.FAILED
        assert "did not end within 0.1 s" in reason


def test_two_threads_of_a_test_take_turns(suite: Suite) -> None:
    body = """
        def test_threads(wsk, wire):
            def many():
                for _ in range(20):
                    send(wsk, wire)
            threads = [threading.Thread(target=many) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    """
    assert suite.run(body)["test_threads"] == (Status.PASSED, "")
    opened = [step.operation.socket for step in suite.cell.bridge.every if isinstance(step.operation, op.Open)]
    assert sorted(opened) == list(range(80))


def test_a_line_of_the_verifier_that_cannot_be_read_is_no_pass(suite: Suite) -> None:
    class Watch:
        broken = False

        def findings(self) -> list[Finding]:
            return list(findings(parse("1\tdouble-completion\tnot-hex\twords\t\n"), Symbols(Path("/none"))))

        def renew(self) -> None:
            pass

    suite.cell.session.watch = Watch()
    status, reason = suite.run(GOOD)["test_good"]
    assert status is Status.INCONCLUSIVE
    assert "the verifier's log holds a line that cannot be read" in reason


WIDE = """
    @pytest.fixture(scope="{scope}")
    def shared(wsk, wire):
        with wsk.datagram_socket() as opened:
            wire.expect(opened.send_to(b"before", wire.peer(9)))
            yield opened
            wire.expect{end}(opened.send_to(b"after", wire.peer(9)))

    class TestOne:
        def test_first(self, shared, wire):
            wire.expect(shared.send_to(b"one", wire.peer(9)))

        def test_second(self, shared, wsk, wire):
            wire.expect(shared.send_to(b"two", wire.peer(9)))
            send(wsk, wire)
"""


@pytest.mark.parametrize("scope", ["class", "module", "package", "session"])
def test_fixtures_of_a_wider_scope_have_cases_and_books_of_their_own(suite: Suite, scope: str) -> None:
    found = suite.run(WIDE.format(scope=scope, end=""))
    assert [status for status, _ in found.values()] == [Status.PASSED] * 5, found
    assert [result.datagrams.matched for result in suite.cell.session.results] == [1, 1, 1, 2, 0]
    wrong = suite.run(WIDE.format(scope=scope, end="_nothing"))
    assert (wrong["test_first"][0], wrong["test_second"][0]) == (Status.PASSED, Status.PASSED)
    assert [status for status, _ in wrong.values()].count(Status.FAILED) == 1


def test_a_socket_that_a_wider_fixture_never_closes_fails_no_test(suite: Suite) -> None:
    class Books:
        """Counts sockets as the driver does."""

        def __init__(self, suite: Suite) -> None:
            self._every = suite.cell.bridge.every

        def __call__(self) -> op.Accounts:
            opened = sum(isinstance(step.operation, op.Open) for step in self._every)
            return op.Accounts(sockets=opened - sum(isinstance(step.operation, op.Close) for step in self._every))

    suite.cell.driver.accounts = Books(suite)  # type: ignore[method-assign]
    leaks = """
        @pytest.fixture(scope="module")
        def shared(wsk):
            return wsk.open()[0]

        def test_first(shared):
            pass

        def test_good(shared, wsk, wire):
            send(wsk, wire)
    """
    found = suite.run(leaks)
    assert found["test_first"][0] is found["test_good"][0] is Status.PASSED, found
    assert "accounts.sockets expected 0, seen 1" in found["harness::fixtures of a wider scope"][1]


def test_a_wider_fixture_that_is_asked_for_in_the_middle_of_a_test_is_refused(suite: Suite) -> None:
    late = """
        @pytest.fixture(scope="module")
        def shared(wsk):
            return wsk.open()[0]

        def test_late(wsk, wire, request):
            send(wsk, wire)
            request.getfixturevalue("shared")
    """
    status, reason = suite.run(late)["test_late"]
    assert status is Status.FAILED
    assert "in the middle of a test; name it among the test's arguments" in reason


def test_what_a_thread_raises_after_the_last_test_is_no_pass(suite: Suite) -> None:
    late = """
        @pytest.fixture(scope="session")
        def around():
            yield
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()

        def test_last(around, wsk):
            pass
    """
    try:
        found = suite.run(late)
    except LabError:  # pytest hears of it when its last test has ended
        return
    assert any(status in (Status.FAILED, Status.INCONCLUSIVE) for status, _ in found.values()), found


def test_an_unload_that_never_ends_is_ended(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cell.session.CALL_SECONDS", 0.2)
    suite.run(GOOD)
    suite.cell.session.end(lambda: time.sleep(60))
    last = suite.cell.session.results[-1]
    assert (last.id, last.status) == (UNLOAD, Status.INCONCLUSIVE)
    assert "for the driver to unload" in last.reason


def test_a_socket_of_a_driver_that_was_loaded_again_is_nobodys_fault(suite: Suite) -> None:
    found = suite.run(
        """
        @pytest.fixture(scope="module")
        def shared(wsk, wire):
            with wsk.datagram_socket() as sock:
                yield sock

        @pytest.mark.timeout(1)
        def test_hangs(shared):
            time.sleep(60)

        def test_uses_it(shared, wire):
            wire.expect(shared.send_to(b"x", wire.peer(9)))

        def test_good(wsk, wire):
            send(wsk, wire)
        """
    )
    assert {name: status for name, (status, _) in found.items() if not name.startswith(OWN)} == {
        "test_hangs": Status.FAILED,
        "test_uses_it": Status.INCONCLUSIVE,
        "test_good": Status.PASSED,
    }, found
    assert {status for name, (status, _) in found.items() if name.startswith(OWN)} == {Status.PASSED}, found
    assert "the socket was opened earlier, and is gone" in found["test_uses_it"][1]
    assert found["test_hangs"][1].count("did not end") == 1


OUTLIVES = {
    "a daemon that goes on sending": """
        def test_starts(wsk, wire):
            def on():
                with wsk.datagram_socket() as sock:
                    while True:
                        wire.expect(sock.send_to(b"x", wire.peer(9)))
                        time.sleep(0.01)
            threading.Thread(target=on, daemon=True, name="going on").start()
            time.sleep(0.1)
        """,
    "a timer that sends later": """
        def test_starts(wsk, wire):
            timer = threading.Timer(1.3, send, (wsk, wire))
            timer.daemon, timer.name = True, "going on"
            timer.start()
        """,
    "one of a pool that is not awaited": """
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(1, thread_name_prefix="going on")
        def test_starts(wsk, wire):
            def on():
                for _ in range(200):
                    send(wsk, wire)
                    time.sleep(0.01)
            pool.submit(on)
        """,
    "a join that is given up": """
        @pytest.mark.timeout(1)
        def test_starts(wsk):
            thread = threading.Thread(target=lambda: time.sleep(3), daemon=True, name="going on")
            thread.start()
            thread.join()
        """,
    "an xfail mark": """
        @pytest.mark.xfail
        def test_starts(wsk):
            threading.Thread(target=lambda: time.sleep(2), daemon=True, name="going on").start()
        """,
}


@pytest.mark.parametrize("what", OUTLIVES)
def test_a_thread_that_outlives_its_test_fails_it_and_no_other(suite: Suite, what: str) -> None:
    after = "def test_good(wsk, wire):\n    time.sleep(0.5)\n    send(wsk, wire)\n"
    found = suite.run(textwrap.dedent(OUTLIVES[what]) + after)
    assert {name: status for name, (status, _) in found.items()} == {
        "test_starts": Status.FAILED,
        "test_good": Status.PASSED,
    }, found
    assert "threads of the test go on after its end: going on" in found["test_starts"][1]
    steps = [step for step in suite.cell.bridge.every if step.case.endswith("test_good")]
    assert len([step for step in steps if isinstance(step.operation, op.Open)]) == 1, "its calls are of no other case"


def test_threads_that_end_or_belong_to_a_wider_fixture_fail_nothing(suite: Suite) -> None:
    found = suite.run(
        """
        from concurrent.futures import ThreadPoolExecutor

        @pytest.fixture(scope="module")
        def pool():
            with ThreadPoolExecutor(2) as pool:
                yield pool

        def test_first(pool, wsk, wire):
            pool.submit(send, wsk, wire).result()

        def test_second(pool, wsk, wire):
            pool.submit(send, wsk, wire).result()

        def test_ends_by_itself():
            threading.Thread(target=time.sleep, args=(0.2,)).start()
        """
    )
    assert {status for status, _ in found.values()} == {Status.PASSED}, found

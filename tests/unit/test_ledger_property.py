"""Whatever a suite does in whatever phase, its cases end as pytest says, live and by the plan that the run leaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from harness.cell.suite import _THREADS
from harness.files import removal
from harness.model.predict import predict
from harness.results.record import OWN
from harness.results.status import Status
from harness.trace.trace_lines import Header, Plan, lines, parse
from harness.verify.closing import closed
from harness.verify.verdict import CaseVerdict
from tests.unit.test_ledger import HEAD, Suite
from tests.unit.test_session_case import NUMBER, PLAIN, SITE

ACTS = {
    "nothing": "pass",
    "fails": "pytest.fail('no')",
    "asserts": "assert 1 == 2",
    "raises": "raise OSError('gone')",
    "sees nothing": "with pytest.raises(ValueError): pass",
    "skips": "pytest.skip('not here')",
    "xfails": "pytest.xfail('known')",
    "exits": "sys.exit(0)",
    "base": "raise BaseException('x')",
    "unreadable": "raise Odd",
    "surrogate": "raise ValueError('\\udce9')",
    "thread": "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
}
IN_A_BODY = {
    **ACTS,
    "hangs": "HANG",
    "subtests": "\n        ".join(("for n in range(2):", "    with subtests.test(n=n):", "        assert n == 0")),
    "subtest skips": "\n        ".join(("with subtests.test():", "    pytest.skip('this one')")),
}
MARKS = {
    "": "",
    "xfail": "@pytest.mark.xfail(reason='known')",
    "strict": "@pytest.mark.xfail(reason='known', strict=True)",
    "os": "@pytest.mark.xfail(raises=OSError)",
    "skip": "@pytest.mark.skip(reason='by mark')",
}
NOT_IN_A_TEARDOWN = ("exits", "base", "thread")
"""Pytest itself leaves other fixtures then, or hears of it when its last test has ended; test_ledger.py has them."""


@dataclass(frozen=True)
class Case:
    """One generated test: what its body and its fixture's two halves do."""

    body: str
    before: str
    after: str
    scope: str
    mark: str

    def source(self, number: int, hang: str) -> str:
        """The test and its fixture."""
        body = IN_A_BODY[self.body].replace("HANG", hang)
        timeout = "@pytest.mark.timeout(0.2)" if self.body == "hangs" else ""
        return f"""
@pytest.fixture(scope={self.scope!r})
def around{number}():
    if True:
        {ACTS[self.before]}
    yield
    if True:
        {ACTS[self.after]}

{timeout}
{MARKS[self.mark]}
def test_{number}(wsk, wire, around{number}, subtests):
    send(wsk, wire)
    if True:
        {body}
"""


QUIET = st.just("nothing")
CASES = st.builds(
    Case,
    st.sampled_from(sorted(IN_A_BODY)),
    QUIET | st.sampled_from(sorted(ACTS)),
    QUIET | st.sampled_from(sorted(set(ACTS) - set(NOT_IN_A_TEARDOWN))),
    st.sampled_from(["function", "module", "session"]),
    st.sampled_from(["", "", *sorted(MARKS)]),
).map(lambda case: case if case.body != "hangs" else Case("hangs", case.before, case.after, case.scope, ""))


class Plainly:
    """Pytest without a cell: what it says of each test."""

    def __init__(self) -> None:
        self.said: dict[str, Status] = {}

    @pytest.fixture(scope="session")
    def wsk(self) -> None:
        """Nobody's driver."""

    wire = wsk

    def pytest_configure(self, config: pytest.Config) -> None:
        """Make the marker known."""
        config.addinivalue_line("markers", "timeout(seconds): unused")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst."""
        name = report.nodeid.rpartition("::")[2]
        status = Status.FAILED if report.failed else Status.SKIPPED if report.skipped else Status.PASSED
        if hasattr(report, "context") and not report.failed:
            return  # a subtest by itself changes nothing
        order = (Status.PASSED, Status.SKIPPED, Status.FAILED)
        self.said[name] = max(self.said.get(name, Status.PASSED), status, key=order.index)


def by_pytest(folder: Path, text: str) -> dict[str, Status]:
    """The outcome of plain pytest."""
    file = folder / f"test_plain{next(NUMBER)}.py"
    file.write_text(text.replace("def send(wsk, wire):", "def send(wsk, wire):\n    return\n"))
    plugin = Plainly()
    more = ["-p", "no:harness", "-p", "no:faulthandler", "-W", _THREADS]
    pytest.main([*PLAIN, *more, f"--rootdir={folder}", str(file)], plugins=[plugin])
    return plugin.said


@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.lists(CASES, min_size=1, max_size=6))
def test_the_run_says_what_pytest_says(cases: list[Case]) -> None:
    with removal.scratch("ledger-") as folder:
        suite = Suite(folder)
        text = "".join(case.source(number, "time.sleep(60)") for number, case in enumerate(cases))
        told = suite.run(text)
        found = {name: status for name, (status, _) in told.items() if not name.startswith(OWN)}
        plain = "".join(case.source(number, "pytest.fail('hung')") for number, case in enumerate(cases))
        assert found == by_pytest(folder, HEAD + plain), told
        assert not [result for result in suite.cell.session.results if result.id.startswith(OWN)]
        plan = parse(lines(Plan(Header("r", "linux"), tuple(suite.cell.bridge.every), tuple(suite.cell.closings))))
        again = {}
        for item in plan.closings:
            predictions = predict([step for step in plan.steps if step.case == item.case], SITE)
            again[item.case.rpartition("::")[2]] = closed(CaseVerdict(), item, predictions).status
        assert again == found

"""The ledger of a suite: every collected case is entered once and ends once, by the worst that is known of it. Pure.

It is opened while pytest collects. What a case raised is noted where it is raised, before any hook can change it; what
pytest reports is noted beside it. Neither can make the other better. At the end the ledger names the cases that never
ended, and every case of which pytest's own counts say something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

STRICT = "[XPASS(strict)]"
"""How pytest begins the text of a test that passed although its strict xfail mark said it would not."""


@dataclass(frozen=True, slots=True)
class Report:
    """One report of pytest: of a phase of a test, or of one of its subtests.

    Args:
        when: "setup", "call" or "teardown".
        outcome: "passed", "failed" or "skipped".
        xfail: reason of an expected failure; ``None`` when pytest does not speak of one.
        text: the last line of what pytest shows.
    """

    when: str
    outcome: str
    xfail: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Raised:
    """What a phase raised.

    Args:
        when: the phase.
        kind: "skip", "xfail", "lab" (a LabError), "exit" (``pytest.exit``) or "error".
        text: one line, with what raised it when that was not the test's body.
        expected: an xfail mark of the test covers it.
    """

    when: str
    kind: str
    text: str
    expected: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """What the test and pytest add to the verdict on the wire.

    Args:
        failure: why the case failed; empty when it did not.
        doubts: why nobody can say.
        skipped: why it was skipped, or the failure that was expected.
        xpass: reason of an xfail mark whose failure did not come, by pytest's word; ``None`` without one.
        strict: the mark is strict, so that this is a failure.
        covered: the mark covers a failed verdict on the wire, too (it names no class of exception).
    """

    failure: str = ""
    doubts: tuple[str, ...] = ()
    skipped: str = ""
    xpass: str | None = None
    strict: bool = False
    covered: bool = True


@dataclass(slots=True)
class Entry:
    """One case: what it raised and what pytest reported, in order."""

    raised: list[Raised] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    covered: bool = True

    def ending(self) -> Ending:
        """How the case ends, by the worst of all that is known."""
        doubts = tuple(item.text for item in self.raised if item.kind == "lab")
        doubts += tuple(f"the test ended the whole run: {item.text}" for item in self.raised if item.kind == "exit")
        failures = [item.text for item in self.raised if item.kind == "error" and not self._excused(item)]
        strict = next((item for item in self.reports if item.text.startswith(STRICT)), None)
        failed = [item for item in self.reports if item.outcome == "failed" and item is not strict]
        if failures and self.reports and not failed and strict is None:
            failures.append("pytest's report of it says otherwise, so a hook has changed it")
        if failed and not failures and not doubts:
            failures.append(
                next((item.text for item in failed if item.text), f"pytest reports {failed[0].when} as failed")
            )
        failure = "; ".join(dict.fromkeys(failures))
        if strict is not None:
            return Ending(failure, doubts, "", strict.text.removeprefix(STRICT).strip(), True, self.covered)
        passed = next((item for item in self.reports if item.outcome == "passed" and item.xfail is not None), None)
        if passed is not None and not self._skipped():
            return Ending(failure, doubts, "", passed.xfail, False, self.covered)
        skipped = self._skipped()
        if not (failure or doubts or skipped or self._called()):
            doubts = ("pytest reports no call of the test",)
        return Ending(failure, doubts, skipped)

    def _excused(self, item: Raised) -> bool:
        """Whether pytest reports this very failure as one that an xfail mark expects, and such a mark is there."""
        told = any(report.when == item.when and report.xfail is not None for report in self.reports)
        return item.expected and told

    def _skipped(self) -> str:
        for item in self.raised:
            if item.kind == "skip":
                return item.text or "skipped without a reason"
            if item.kind == "xfail" or self._excused(item):
                reason = next((report.xfail for report in self.reports if report.xfail), "") or ""
                return f"xfailed: {reason}" if reason else "xfailed"
        if any(item.outcome == "skipped" for item in self.reports if item.when != "teardown"):
            text = next((item.text for item in self.reports if item.outcome == "skipped" and item.text), "")
            if not self._called():
                return text or "skipped without a reason"
        return ""

    def _called(self) -> bool:
        return any(item.when == "call" and item.outcome == "passed" for item in self.reports)


class Ledger:
    """All cases that were collected, in order."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._ended: dict[str, int] = {}
        self._bad: set[str] = set()
        self._left_out: dict[str, str] = {}

    def enter(self, case: str) -> bool:
        """Enter a collected case; false when it is there already."""
        if case in self._entries:
            return False
        self._entries[case] = Entry()
        return True

    def __getitem__(self, case: str) -> Entry:
        """The entry of a case; one that nobody collected is entered now."""
        return self._entries.setdefault(case, Entry())

    def leave_out(self, case: str, why: str = "") -> None:
        """A case will not run; without ``why`` because somebody asked for others, and then it is not missed."""
        self._left_out[case] = why

    def end(self, case: str, *, bad: bool) -> None:
        """A case has its result; ``bad``: it failed or is inconclusive."""
        self._ended[case] = self._ended.get(case, 0) + 1
        self._bad |= {case} if bad else set()

    def has_ended(self, case: str) -> bool:
        """Whether a case has its result."""
        return case in self._ended

    @property
    def ended(self) -> int:
        """How many cases have a result."""
        return len(self._ended)

    def missed(self) -> dict[str, str]:
        """Cases without a result, each with why."""
        missed = {}
        for case in self._entries:
            if case not in self._ended and self._left_out.get(case, "-"):
                missed[case] = self._left_out.get(case, "not run: pytest ended before it, or something took it away")
        return missed

    def differences(self, failed: Iterable[str], code: int, *, stopped: bool) -> list[str]:
        """Where pytest's own counts say otherwise, one line each; empty when they agree.

        Args:
            failed: cases that pytest counts as failed or broken.
            code: pytest's exit code: 0 says that nothing failed, 1 that something did.
            stopped: the run was stopped, so that cases ended of which pytest counts nothing.
        """
        failed = frozenset(failed)
        lines = [f"{case} has {count} results" for case, count in self._ended.items() if count > 1]
        lines += [f"pytest counts {case} as failed, the run does not" for case in sorted(failed - self._bad)]
        if not stopped:
            lines += [f"pytest does not count {case} as failed, the run does" for case in sorted(self._bad - failed)]
        if code == 0 and failed:
            lines.append(f"pytest's exit code is 0, and it counts {', '.join(sorted(failed))} as failed")
        if code == 1 and not failed and not self._bad:
            lines.append("pytest's exit code is 1, and no case failed")
        return lines

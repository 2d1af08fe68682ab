"""The values of a verdict: findings, counts, observations and the status of a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What is said of one datagram, frame or completion."""

    MATCHED = "matched"
    MISSING = "missing"
    DUPLICATED = "duplicated"
    REORDERED = "reordered"
    ALTERED = "altered"
    UNEXPECTED = "unexpected"
    OFFLOAD = "offload"
    BACKGROUND = "background"
    VERIFIER = "verifier"
    CRASH = "crash"


Kind = tuple[Verdict, int | None, str]
"""Findings are of one kind when verdict, step and field are the same."""


class Status(StrEnum):
    """What became of a case, a cell or a run; ``inconclusive``: the lab, not the driver, was at fault."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as predicted.

    Args:
        verdict: what kind of thing.
        frame: frame number in the capture, ``None`` when no frame shows it.
        operation: number of the step it belongs to, ``None`` when it belongs to none.
        field: what differs ("udp.destination_port", "completion.status", "accounts.irps").
        expected, seen: the two values in words.
        detail: anything that helps a person ("bytes swapped"; first differing byte with context).
    """

    verdict: Verdict
    frame: int | None = None
    operation: int | None = None
    field: str = ""
    expected: str = ""
    seen: str = ""
    detail: str = ""

    def line(self, *, detail: bool = True) -> str:
        """The finding in one line, with what helps a person or without, where that is shown beside it."""
        where = ", ".join(
            text
            for text in (
                f"frame {self.frame}" if self.frame is not None else "",
                f"step {self.operation}" if self.operation is not None else "",
            )
            if text
        )
        return (
            f"{self.verdict}{f' ({where})' if where else ''}: {self.field} expected {self.expected}, seen {self.seen}"
            + (f" ({self.detail})" if detail and self.detail else "")
        )


@dataclass(frozen=True, slots=True)
class Observation:
    """Something worth recording that nobody may assert: a status or field whose rule is not verified.

    Args:
        operation: number of the step, ``None`` when it belongs to none.
        field: what was observed.
        expected, seen: the unverified expectation and the value.
        rule: why it is not asserted.
    """

    operation: int | None
    field: str
    expected: str
    seen: str
    rule: str


@dataclass(frozen=True, slots=True)
class DatagramCounts:
    """Datagrams of a case by verdict. ``matched`` includes those whose checksum was left to the NIC as expected."""

    expected: int = 0
    matched: int = 0
    missing: int = 0
    duplicated: int = 0
    reordered: int = 0
    altered: int = 0
    unexpected: int = 0
    offload: int = 0
    background: int = 0

    def line(self) -> str:
        """The counts that are not zero, in one line."""
        return ", ".join(f"{count} {name}" for name, count in asdict(self).items() if count)


@dataclass(frozen=True, slots=True)
class CaseVerdict:
    """The verdict of a case.

    Args:
        counts: datagrams by verdict.
        findings: what is wrong, worst first in the order found.
        observed: what was seen where nothing is asserted.
        background: frames per named protocol that are not the driver's.
        matches: step number, index of the datagram, frame number that completed it.
        doubts: why nothing of this can be trusted, the most telling first; they make the case inconclusive.
        failure: what went wrong beside the findings: the test's own assertion, a driver that does not answer.
        skipped: why the case was not run.
    """

    counts: DatagramCounts = DatagramCounts()
    findings: tuple[Finding, ...] = ()
    observed: tuple[Observation, ...] = ()
    background: tuple[tuple[str, int], ...] = ()
    matches: tuple[tuple[int, int, int], ...] = ()
    doubts: tuple[str, ...] = ()
    failure: str = ""
    skipped: str = ""

    @property
    def status(self) -> Status:
        """A capture that cannot be trusted makes a case inconclusive, whatever else was found."""
        if self.skipped:
            return Status.SKIPPED
        if self.doubts:
            return Status.INCONCLUSIVE
        if self.failure or self._failing:
            return Status.FAILED
        return Status.INCONCLUSIVE if self.findings else Status.PASSED

    @property
    def reason(self) -> str:
        """The status' cause in one line; empty when passed."""
        if self.skipped:
            return self.skipped
        if self.doubts:
            return _first(self.doubts)
        told = _first([item.line() for item in self._failing or self.findings])
        return "; ".join(filter(None, (told, self.failure)))

    @property
    def _failing(self) -> list[Finding]:
        """Checksums that were left to hardware say nothing against the driver."""
        return [item for item in self.findings if item.verdict is not Verdict.OFFLOAD]


def _first(lines: Sequence[str]) -> str:
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return f"{lines[0]}{more}" if lines else ""

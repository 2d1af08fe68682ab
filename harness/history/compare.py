"""Compares a night with the nights before: new, known and fixed failures, flakes, missing verdicts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from harness.errors import EXIT_FAILED, EXIT_LAB, EXIT_PASSED
from harness.history.known import Known
from harness.history.questions import Before
from harness.history.store import sign
from harness.results.groups import Trouble
from harness.results.record import UNLOAD, CaseResult, CellResult, Results
from harness.results.status import Status

Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One case of one cell in one list of a comparison, with the words that a report shows."""

    guest: str
    nic: str
    driver: str
    case: str
    told: str
    note: str = ""

    def trouble(self, *, driver: bool = False) -> Trouble:
        """Convert the change, so that a report can group it with similar ones; ``driver`` names the driver, too."""
        note = f" ({self.note})" if self.note else ""
        place = f"{self.guest} x {self.nic}" + (f" x {self.driver}" if driver else "")
        return Trouble(place, self.case, f"{self.told}{note}")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The cases of a night, sorted by what a person has to do.

    Args:
        new: failures whose latest earlier verdict was no failure or looked different, and known ones that have expired;
            the night then exits with 1.
        uncompared: failures of a night that has no history to compare with; the night then exits with 1, too.
        still: failures whose latest earlier verdict looked the same, and that no entry lists as known.
        known: failures that an unexpired entry lists as known.
        fixed: cases that passed and whose latest earlier verdict was a failure.
        flaky: cases whose attempts had different statuses.
        missing: cells and cases without a verdict.
        unneeded: entries for known failures that matched no failure although a case of theirs passed.
    """

    new: tuple[Change, ...] = ()
    uncompared: tuple[Change, ...] = ()
    still: tuple[Change, ...] = ()
    known: tuple[Change, ...] = ()
    fixed: tuple[Change, ...] = ()
    flaky: tuple[Change, ...] = ()
    missing: tuple[Change, ...] = ()
    unneeded: tuple[str, ...] = field(default=())

    def exit_code(self) -> int:
        """Return 1 if a failure is new or may be new, else 3 if a verdict is missing, else 0."""
        return EXIT_FAILED if self.new or self.uncompared else EXIT_LAB if self.missing else EXIT_PASSED


def compare(results: Results, before: Mapping[Key, Before] | None, known: Sequence[Known], today: date) -> Comparison:
    """Sort the night's cases.

    Args:
        results: the night.
        before: the latest earlier verdict of each case; ``None`` if there is no history, so failures cannot be sorted
            into old and new.
        known: known failures.
        today: the date; an entry is valid through the day of its expiry.
    """
    lists: dict[str, list[Change]] = {
        name: [] for name in ("new", "uncompared", "still", "known", "fixed", "flaky", "missing")
    }
    used: set[Known] = set()
    tried: set[Known] = set()
    for cell in results.cells:
        if cell.fault == "driver":
            whole = CaseResult("the cell itself", Status.FAILED, cell.reason)
            lists[_class(cell, whole, before, known, used, today)].append(
                _change(cell, whole, cell.reason, known, today)
            )
        elif cell.fault or (not cell.cases and cell.status is not Status.SKIPPED):
            lists["missing"].append(Change(cell.guest, cell.nic, cell.driver, "the cell itself", cell.reason))
        ended = (CaseResult(UNLOAD, Status.PASSED),) if cell.unloaded else ()
        for case in (*cell.cases, *ended):
            tried |= {entry for entry in known if case.status is Status.PASSED and entry.means(cell, case, None)}
            if case.flaky:
                told = ", ".join(str(attempt.status) for attempt in case.earlier) + f", then {case.status}"
                first = case.earlier[0].reason
                lists["flaky"].append(Change(cell.guest, cell.nic, cell.driver, case.id, told, first))
            if case.status is Status.INCONCLUSIVE:
                lists["missing"].append(Change(cell.guest, cell.nic, cell.driver, case.id, case.told()))
            elif case.status is Status.FAILED:
                name = _class(cell, case, before, known, used, today)
                lists[name].append(_change(cell, case, case.told(), known, today))
            elif case.status is Status.PASSED:
                earlier = (before or {}).get((cell.guest, cell.nic, cell.driver, case.id))
                if earlier is not None and earlier.status == "failed":
                    lists["fixed"].append(
                        Change(cell.guest, cell.nic, cell.driver, case.id, f"failed in {earlier.run}", earlier.sign)
                    )
    unneeded = tuple(f"{entry.case}: {entry.reason}" for entry in known if entry in tried and entry not in used)
    return Comparison(**{name: tuple(changes) for name, changes in lists.items()}, unneeded=unneeded)


def _class(
    cell: CellResult,
    case: CaseResult,
    before: Mapping[Key, Before] | None,
    known: Sequence[Known],
    used: set[Known],
    today: date,
) -> str:
    looks = sign(case)
    for entry in known:
        if entry.means(cell, case, looks):
            used.add(entry)
            if today <= entry.expires:
                return "known"
            return "new"
    if before is None:
        return "uncompared"
    earlier = before.get((cell.guest, cell.nic, cell.driver, case.id))
    return "still" if earlier is not None and (earlier.status, earlier.sign) == ("failed", looks) else "new"


def _change(cell: CellResult, case: CaseResult, told: str, known: Sequence[Known], today: date) -> Change:
    for entry in known:
        if entry.means(cell, case, sign(case)):
            good = today <= entry.expires
            note = f"known: {entry.reason}, until {entry.expires}" if good else f"known until {entry.expires}: expired"
            told = f"{note}; {told}"
            break
    return Change(cell.guest, cell.nic, cell.driver, case.id, told)

"""Finds the first bad driver build of a folder: by halves, the ends first, so that there is something to find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import EXIT_USAGE, LabError, UsageError
from harness.matrix import launch
from harness.report.progress import Watcher
from harness.results.status import Status

_OURS = ("netio.sys", "verifier.sys")
_SYMBOLS = [".debug", ".sys"]


@dataclass(frozen=True, slots=True)
class Found:
    """The answer.

    Args:
        first_bad: the first build that fails; empty when none does.
        last_good: the build before it; empty when the very first is bad.
        runs: build -> status, as far as it was run.
        reason: what failed in the first bad build.
    """

    first_bad: str
    last_good: str
    runs: dict[str, str]
    reason: str = ""

    def line(self) -> str:
        """The answer as one line."""
        tried = f"({len(self.runs)} runs)"
        if not self.first_bad:
            return f"no build is bad {tried}"
        good = f"last good: {self.last_good}" if self.last_good else "the first build is bad already"
        return f"first bad build: {self.first_bad}; {good}; {self.reason} {tried}"


def builds(folder: Path) -> list[Path]:
    """The drivers of a folder, or one of each of its folders, in the order of their names.

    What ``harness driver build`` puts beside a driver is none: builds with symbols, and the Wine guest's own drivers.

    Raises:
        UsageError: there are none, or a folder holds several.
    """
    if not folder.is_dir():
        raise UsageError(f"no such folder: {folder}")
    found = _drivers(folder)
    if not found:
        for each in sorted(path for path in folder.iterdir() if path.is_dir()):
            inside = _drivers(each)
            if len(inside) > 1:
                raise UsageError(f"{each} holds several drivers: {', '.join(path.name for path in inside)}")
            found += inside
    if not found:
        raise UsageError(f"{folder} holds no driver build (*.sys)")
    return found


def _drivers(folder: Path) -> list[Path]:
    """The ``.sys`` files that may be under test."""
    return sorted(path for path in folder.glob("*.sys") if path.name not in _OURS and path.suffixes[-2:] != _SYMBOLS)


def name(build: Path, folder: Path) -> str:
    """How a build is called: by its path in the folder."""
    return str(build.relative_to(folder))


def search(names: Sequence[str], judge: Callable[[int], tuple[Status, str]]) -> Found:
    """The first bad of ``names``, given a judge; every build is asked at most once.

    Raises:
        LabError: a build has no verdict.
    """
    seen: dict[int, tuple[Status, str]] = {}

    def bad(index: int) -> bool:
        if index not in seen:
            seen[index] = judge(index)
        status, reason = seen[index]
        if status not in (Status.PASSED, Status.FAILED):
            raise LabError(f"build {names[index]} has no verdict: {reason or status}")
        return status is Status.FAILED

    def found(index: int | None) -> Found:
        runs = {names[each]: str(status) for each, (status, _) in sorted(seen.items())}
        if index is None:
            return Found("", names[-1], runs)
        return Found(names[index], names[index - 1] if index else "", runs, seen[index][1])

    if not bad(len(names) - 1):
        return found(None)
    if bad(0):
        return found(0)
    good, worse = 0, len(names) - 1
    while worse - good > 1:
        middle = (good + worse) // 2
        good, worse = (good, middle) if bad(middle) else (middle, worse)
    return found(worse)


def run(request: launch.Request, found: Sequence[Path], place: Path, watcher: Watcher) -> Found:
    """Bisect by runs of one cell; a build whose verdict the lab spoilt is asked once more."""
    folder = Path(*found[0].parts[: -1 if found[0].parent == found[-1].parent else -2])

    def judge(index: int) -> tuple[Status, str]:
        called = name(found[index], folder)
        watcher.say(f"build {called}")
        output = place / called.replace("/", "_")
        output = launch.claim(output)
        one = replace(request, driver=found[index], drivers={})
        launch.check(one)
        results = launch.execute(one, output.absolute(), watcher, launch.Options(retry=True))
        if results.exit_code() == EXIT_USAGE:  # no other build would be judged either
            raise UsageError(next(cell.reason for cell in results.cells if cell.fault == "user"))
        told = [case.told() for cell in results.cells for case in cell.cases if case.status is Status.FAILED]
        reasons = [cell.reason for cell in results.cells if cell.reason]
        return results.status, (told or reasons or [""])[0]

    return search([name(build, folder) for build in found], judge)

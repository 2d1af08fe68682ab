"""``harness test``: everything that must hold in a checkout, step by step, with one closing line for a CI system.

Drivers build without warnings; ruff and mypy are content; unit and integration tests pass; the regression suite passes
on both NICs; every known bug of driver, wire and lab is caught, and the folder that they are started in takes no harm.
A later step runs although an earlier one failed, so that one run tells all.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from harness import children, resources
from harness.errors import EXIT_FAILED, EXIT_PASSED, HarnessError, UsageError
from harness.files import removal
from harness.results.record import FILE_NAME, load
from harness.selftest.canary import Canary

REGRESSION_NICS = ("virtio-net", "e1000")
WORKERS = 2
"""Processes that run tests: a lab and its guest keep less than one core busy, and take less than 1 GiB."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step answered: its exit code, seconds, and counts of tests by outcome (empty for a plain check)."""

    name: str
    code: int
    seconds: float
    counts: Counter[str]


def run(output: Path | None, *, fast: bool = False) -> int:
    """Run all steps and print the closing line.

    Args:
        output: folder for the regression run; ``None`` uses a temporary one and forgets it.
        fast: only what needs no lab: build, static checks and unit tests.

    Returns:
        0 when everything passed, else 1.

    Raises:
        UsageError: this is no checkout, so there is nothing of the harness's own to test.
    """
    checkout = resources.checkout()
    if checkout is None:
        raise UsageError("`harness test` tests a checkout of the harness", mend="`harness run` tests a driver")
    started = time.monotonic()
    with removal.scratch("harness-test-") as scratch:
        steps = [
            _tool("driver build", checkout, "harness", "driver", "build"),
            _tool("ruff check", checkout, "ruff", "check", "."),
            _tool("ruff format", checkout, "ruff", "format", "--check", "."),
            _tool("mypy", checkout, "mypy"),
            _pytest("unit tests", checkout, "tests/unit", scratch),
        ]
        if not fast:
            steps.append(_tool("guest image", checkout, "harness", "image", "build", "wine"))
            steps.append(_pytest("integration tests", checkout, "tests/integration", scratch))
            steps.append(_regression(checkout, output or scratch / "regression"))
            steps.append(_defects(scratch))
    for step in steps:
        print(f"{'passed' if step.code == 0 else 'FAILED':7} {step.name} ({step.seconds:.1f} s)")
    print(closing_line(steps, time.monotonic() - started), flush=True)
    return EXIT_FAILED if any(step.code for step in steps) else EXIT_PASSED


def closing_line(steps: Sequence[StepResult], seconds: float) -> str:
    """Counts over all steps as pytest words them; a failed check without tests of its own counts as one failure."""
    total: Counter[str] = Counter()
    for step in steps:
        total += step.counts
        if step.code and not step.counts["failed"] and not step.counts["errors"]:
            total["failed"] += 1
    words = [f"{total['passed']} passed", f"{total['failed']} failed"]
    words += [f"{total[word]} {word}" for word in ("errors", "skipped") if total[word]]
    return f"{', '.join(words)} in {seconds:.1f}s"


def _call(name: str, folder: Path, module: str, *arguments: str) -> tuple[int, float]:
    print(f"== {name}", flush=True)
    started = time.monotonic()
    code = children.run_worker(children.python(module, *arguments), folder)
    return code, time.monotonic() - started


def _tool(name: str, checkout: Path, module: str, *arguments: str) -> StepResult:
    return StepResult(name, *_call(name, checkout, module, *arguments), Counter())


def _pytest(name: str, checkout: Path, folder: str, scratch: Path) -> StepResult:
    report = scratch / f"{Path(folder).name}.xml"
    # Tests of one file share fixtures that are dear (a guest that runs), so a file is never cut in two.
    together = ("-n", str(WORKERS), "--dist", "loadfile")
    code, seconds = _call(name, checkout, "pytest", "-q", "-ra", *together, f"--junitxml={report}", folder)
    return StepResult(name, code, seconds, junit_counts(report))


def _regression(checkout: Path, folder: Path) -> StepResult:
    nics = [word for nic in REGRESSION_NICS for word in ("--nic", nic)]
    code, seconds = _call("regression suite", checkout, "harness", "run", *nics, "-o", str(folder))
    counts: Counter[str] = Counter()
    try:
        results = load(folder / FILE_NAME)
    except HarnessError:
        return StepResult("regression suite", code or EXIT_FAILED, seconds, counts)
    for status, number in results.counts().items():
        counts["errors" if status == "inconclusive" else str(status)] += number
    return StepResult("regression suite", code, seconds, counts)


def _defects(place: Path) -> StepResult:
    """All known bugs and faults, started in a folder with a person's files in it, which must be as they were after."""
    folder, canary = place / "defects", Canary(place / "canary")
    code, seconds = _call("known bugs", canary.here, "harness", "defects", "-o", str(folder))
    harm = canary.changes()
    for line in harm:
        print(f"harm: {line}", flush=True)
    try:
        record = json.loads((folder / "defects.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return StepResult("known bugs", code or EXIT_FAILED, seconds, Counter())
    good = [not harm, record["clean"]["status"] == "passed", *(row["caught"] for row in record["defects"])]
    code = code or (EXIT_FAILED if harm else EXIT_PASSED)
    return StepResult("known bugs", code, seconds, Counter(passed=good.count(True), failed=good.count(False)))


def junit_counts(report: Path) -> Counter[str]:
    """Tests by outcome in a JUnit file; nothing when there is none."""
    counts: Counter[str] = Counter()
    try:
        suites = ET.parse(report).getroot().iter("testsuite")
    except (OSError, ET.ParseError):
        return counts
    for suite in suites:
        number = {key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")}
        counts["failed"] += number["failures"]
        counts["errors"] += number["errors"]
        counts["skipped"] += number["skipped"]
        counts["passed"] += number["tests"] - number["failures"] - number["errors"] - number["skipped"]
    return counts

"""Runs acceptance steps one after the other, judges and times each; one that fails keeps no other from running."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from harness.accept.report import StepResult
from harness.accept.rig import Bench
from harness.accept.steps import STEPS, Step
from harness.errors import Failure, HarnessError, UsageError
from harness.results.status import Status


def choose(wanted: Sequence[str]) -> tuple[Step, ...]:
    """The steps of those names, in the list's order; all without a name.

    Raises:
        UsageError: no such step.
    """
    known = {step.id: step for step in STEPS}
    for name in wanted:
        if name not in known:
            raise UsageError(f"no acceptance step {name!r}", mend=f"known are: {', '.join(known)}")
    return tuple(step for step in STEPS if not wanted or step.id in wanted)


def run(bench: Bench, steps: Sequence[Step], say: Callable[[str], None]) -> tuple[StepResult, ...]:
    """Run the steps; an error in the harness itself is inconclusive too, and named as such."""
    results = []
    for number, step in enumerate(steps, 1):
        say(f"{number}/{len(steps)} {step.id}: {step.title}")
        result = judge(bench, step)
        say(f"     {result.status} after {result.seconds:.0f} s: {result.detail}")
        results.append(result)
    return tuple(results)


def judge(bench: Bench, step: Step) -> StepResult:
    """Run one step."""
    began = time.monotonic()
    status, detail, evidence, observed = Status.PASSED, "", "", {}
    try:
        found = step.run(bench)
        detail, observed = found.detail, found.observed
    except Failure as error:
        status, detail, evidence = Status.FAILED, error.line(), error.detail
    except HarnessError as error:
        status, detail, evidence = Status.INCONCLUSIVE, error.line(), error.detail
    except Exception as error:
        status, detail = Status.INCONCLUSIVE, f"error in the harness: {type(error).__name__}: {error}"
    seconds = round(time.monotonic() - began, 1)
    return StepResult(step.id, step.title, step.settles, status, seconds, detail, evidence, observed)

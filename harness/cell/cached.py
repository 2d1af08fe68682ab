"""A cell that failed after a restore proves that its saved state was whole, or its verdicts do not stand."""

from __future__ import annotations

from dataclasses import replace

from harness.cache.manifest import Depth
from harness.results.record import DAMAGED, CellResult
from harness.results.status import Status
from harness.vm.saved import DamagedStateError, Saved, States

_JUDGED = (Status.PASSED, Status.FAILED)


def held_to_its_state(result: CellResult, states: States | None, state: Saved | None) -> CellResult:
    """The result as it was, or an inconclusive one where the state that the guest was restored from is damaged.

    All blocks of the state are read when a case failed: a guest that runs from damaged memory may do anything. The
    damaged state is removed, so that the next start of the cell makes another one.

    Args:
        result: of the whole cell.
        states: the cache; ``None`` when the guest was booted without it.
        state: what the guest was restored from; ``None`` when it was booted.
    """
    if states is None or state is None or result.status is not Status.FAILED:
        return result
    try:
        states.require_whole(state, Depth.ALL)
    except DamagedStateError as damage:
        cases = tuple(
            replace(case, status=Status.INCONCLUSIVE, reason=damage.what) if case.status in _JUDGED else case
            for case in result.cases
        )
        facts = {**result.facts, DAMAGED: damage.what}
        return replace(result, status=Status.INCONCLUSIVE, reason=damage.what, fault="lab", cases=cases, facts=facts)
    return result

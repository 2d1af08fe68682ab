"""A cell's verdicts stand only when the state that its guest was restored from is whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.cell.cached import held_to_its_state
from harness.results.record import DAMAGED, CaseResult, CellResult
from harness.results.status import Status
from harness.vm.saved import RAM, Saved, States

CASES = (CaseResult("a", Status.PASSED), CaseResult("b", Status.FAILED), CaseResult("c", Status.SKIPPED))
FAILED = CellResult("wine", "e1000", Status.FAILED, cases=CASES)


@pytest.fixture
def states(tmp_path: Path) -> States:
    return States(tmp_path)


@pytest.fixture
def state(states: States) -> Saved:
    def write(folder: Path) -> None:
        (folder / RAM).write_bytes(bytes(100))

    return states.save("k", write, {})


def flip(state: Saved) -> None:
    path = state.folder / RAM
    before = path.stat()
    path.write_bytes(bytes(99) + b"\1")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_failure_on_a_whole_state_stands(states: States, state: Saved) -> None:
    assert held_to_its_state(FAILED, states, state) == FAILED
    assert held_to_its_state(FAILED, None, None) == FAILED


def test_a_failure_on_a_damaged_state_is_the_lab_s(states: States, state: Saved) -> None:
    flip(state)
    result = held_to_its_state(FAILED, states, state)
    line = "cached state k was damaged (ram differs in block 0 of 1 (1 MiB each)): rebuilt"
    assert (result.status, result.fault, result.reason, result.facts[DAMAGED]) == ("inconclusive", "lab", line, line)
    assert [case.status for case in result.cases] == [Status.INCONCLUSIVE, Status.INCONCLUSIVE, Status.SKIPPED]
    assert states.find("k") is None


def test_a_cell_without_a_failure_reads_nothing_again(states: States, state: Saved) -> None:
    flip(state)
    passed = CellResult("wine", "e1000", Status.PASSED, cases=CASES[:1])
    assert held_to_its_state(passed, states, state) == passed

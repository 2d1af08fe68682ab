"""The faults of a run's files: each is said on a run made by hand, and a harness that sees nothing catches none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness.capture.marker import Edge
from harness.capture.tshark import one_pass
from harness.files import digests
from harness.results.record import CAPTURE, PLAN, CaseResult, CellFiles, CellResult
from harness.results.status import Status
from harness.selftest.defects import file_faults
from harness.selftest.defects.faults import CASE
from harness.selftest.defects.file_faults import FAULTS, CleanRun, FileFault
from harness.selftest.defects.judge import Row
from harness.selftest.defects.run import Runner
from harness.trace import trace_lines as plans
from harness.verify.closing import Closing
from tests.corpus import containers
from tests.corpus.containers import Record
from tests.corpus.story import SITE, STEPS, frames, marker


@dataclass
class Job:
    folder: Path
    run_id: str = "defects-1"


class ByHand:
    """Stands in for the runner: its cell is made of two cases that passed."""

    driver = Path("wsksend.sys")

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def job(self, name: str, *_: Any) -> Job:  # noqa: ANN401 - as Runner has them
        return Job(self._folder / "cells" / name)

    def cell(self, job: Job) -> CellResult:
        job.folder.mkdir(parents=True)
        steps = tuple(replace(step, case=CASE if step.case == "sends" else "more") for step in STEPS)
        plan = plans.Plan(plans.Header(job.run_id, "linux", SITE.to_json()), steps, (Closing(CASE), Closing("more")))
        (job.folder / PLAN).write_text("".join(f"{line}\n" for line in plans.lines(plan)))
        made = [marker(1, Edge.START, 1, CASE), *frames("sends"), marker(1, Edge.END, 2, CASE)]
        made += [marker(2, Edge.START, 3, "more"), *frames("more"), marker(2, Edge.END, 4, "more")]
        (job.folder / CAPTURE).write_bytes(containers.pcapng([Record(data) for data in made]))
        files = CellFiles("cells/files", *(digests.of_file(job.folder, name) for name in (PLAN, CAPTURE)))
        cases = (CaseResult(CASE, Status.PASSED), CaseResult("more", Status.PASSED))
        return CellResult("wine", "virtio-net", Status.PASSED, cases=cases, folder="cells/files", files=(files,))


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CleanRun:
    monkeypatch.setattr(one_pass, "find", lambda: "")
    return CleanRun(cast(Runner, ByHand(tmp_path)), tmp_path / "files")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: cast(FileFault, fault).id)
def test_each_fault_is_said(fault: FileFault, clean: CleanRun) -> None:
    rows: list[Row] = []
    row = file_faults.run(fault, clean, rows.append)
    assert (row.caught, row.why) == (True, ""), row
    assert rows == [row]


def nothing(run: Path) -> None:
    """Leave the run as it is."""


@pytest.mark.parametrize(
    ("damage", "command", "refused", "why"),
    [
        (nothing, "replay", False, "passed, and not inconclusive"),
        (nothing, "merge", True, "passed, and not refused"),
        (FAULTS[0].damage, "replay", True, "inconclusive, and not refused"),
        (FAULTS[-1].damage, "merge", False, "refused"),
    ],
)
def test_what_is_not_said_is_missed(
    damage: Callable[[Path], None], command: str, refused: bool, why: str, clean: CleanRun
) -> None:
    fault = FileFault("x", "", damage, command, "", refused)
    row = file_faults.run(fault, clean, lambda _: None)
    assert (row.caught, row.why) == (False, why)


def test_a_fault_that_is_named_wrongly_is_missed(clean: CleanRun) -> None:
    row = file_faults.run(replace(FAULTS[0], expects="no such words"), clean, lambda _: None)
    assert (row.caught, row.why) == (False, "named wrongly")


def test_they_are_chosen_by_group_and_id() -> None:
    assert file_faults.chosen() == file_faults.chosen("F") == FAULTS
    assert [fault.id for fault in file_faults.chosen("plan-cut")] == ["plan-cut"]
    assert file_faults.chosen("L") == ()

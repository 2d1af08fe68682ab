"""A suite that pytest does not bring to its end is no whole suite; a plan that cannot be written doubts its cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from harness.cell.job import Cell, CellJob
from harness.cell.session import Session
from harness.cell.suite import run_suite
from harness.cell.trace_writer import PlanFile
from harness.errors import LabError, UsageError, writing
from harness.results.status import Status
from harness.trace.trace_lines import Header
from harness.verify.closing import Closing
from harness.wsk.operations import Step
from tests.unit.test_plugin import FakeSession
from tests.unit.test_session_case import GOOD, SITE
from tests.unit.test_session_case import Cell as StandIn

STUMBLES = "def pytest_runtest_logreport(report):\n    raise OSError(28, 'No space left on device')\n"


class WithoutCases(FakeSession):
    def collected(self, ids: Sequence[str]) -> None:
        assert len(ids) == 0


def suite(folder: Path, body: str, conftest: str = "") -> CellJob:
    tests = folder / "suite"
    tests.mkdir()
    (tests / f"test_in_{folder.name}.py").write_text(body)  # a module's name is known to Python for ever
    if conftest:
        (tests / "conftest.py").write_text(conftest)
    return CellJob(Cell("wine", "e1000"), "r", folder, "i", Path("/d"), Path("/r"), suite=(tests,))


def test_a_suite_that_pytest_stumbles_over_is_not_whole(tmp_path: Path) -> None:
    job = suite(tmp_path, "def test_one():\n    pass\n", STUMBLES)
    with pytest.raises(LabError, match="cases may be missing") as caught:
        run_suite(job, cast(Session, FakeSession()))
    assert "No space left on device" in caught.value.detail


def test_a_suite_without_a_case_is_the_user_s(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no test is selected"):
        run_suite(suite(tmp_path, ""), cast(Session, WithoutCases()))


def full(tmp_path: Path) -> PlanFile:
    """A plan on a disk that takes nothing."""
    plan = PlanFile(tmp_path / "plan", Header("r", "linux", SITE.to_json(), "wine x e1000"))
    plan._file.close()
    plan._file = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115 (the plan closes it)
    return plan


def test_a_case_whose_plan_is_not_written_is_inconclusive_and_the_last_that_is_tried(tmp_path: Path) -> None:
    cell = StandIn(tmp_path)
    plan = full(tmp_path)

    def record(event: Step | Closing) -> None:
        cell.bridge.steps.append(event) if isinstance(event, Step) else None
        plan.add(event)

    cell.session._record = record
    cell.run(GOOD + GOOD.replace("test_case", "test_next"))
    first, second = cell.session.results
    assert (first.status, second.status) == (Status.INCONCLUSIVE, Status.INCONCLUSIVE)
    assert "No space left on device; free some space there" in first.reason
    assert cell.bridge.started == [first.id], "nothing is asked of the driver any more"
    with pytest.raises(LabError, match="No space left"):
        plan.__exit__(None, None, None)


def test_only_a_disk_that_takes_no_more_is_the_disk_s_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing(tmp_path):
        (tmp_path / "none").read_text()
    with pytest.raises(LabError, match=f"cannot write {tmp_path}: No space left"), writing(tmp_path):
        Path("/dev/full").write_text("x")

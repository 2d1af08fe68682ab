"""``harness matrix``: the latest result of each cell, whatever else lies in the folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cell.job import Cell
from harness.cli.app import run_app
from harness.matrix import overview
from harness.results.record import CaseResult, CellResult, Results, RunInfo, write
from harness.results.status import Status


def record(folder: Path, started: str, nic: str, status: Status) -> None:
    folder.mkdir(parents=True)
    cell = CellResult("wine", nic, status, cases=(CaseResult("t.py::x", status),))
    write(Results(RunInfo(started, started), (cell,)), folder)


def test_the_latest_run_of_each_cell_counts(tmp_path: Path) -> None:
    record(tmp_path / "b", "2026-01-02", "e1000", Status.FAILED)
    record(tmp_path / "a", "2026-01-03", "e1000", Status.PASSED)
    record(tmp_path / "c", "2026-01-01", "pcnet", Status.PASSED)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "results.json").write_text("{")
    cells = [Cell("wine", nic) for nic in ("e1000", "rtl8139", "pcnet")]
    rows = overview.latest(cells, overview.records(tmp_path))
    assert [row.line() for row in rows] == [
        "wine x e1000: passed, 1 of 1 passed, 2026-01-03",
        "wine x rtl8139: not run yet",
        "wine x pcnet: passed, 1 of 1 passed, 2026-01-01",
    ]


def test_no_more_records_are_read_than_it_takes(tmp_path: Path) -> None:
    for day in range(1, 10):
        record(tmp_path / f"x{10 - day}", f"2026-01-0{day}", "pcnet" if day == 7 else "e1000", Status.PASSED)
    found = overview.records(tmp_path)
    overview.latest([Cell("wine", "e1000"), Cell("wine", "pcnet")], found)
    assert next(found).run.started == "2026-01-06", "from the 9th to the 7th they were read"


def test_the_command_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "runs" / "a", "2026-01-03", "e1000", Status.FAILED)
    assert run_app(["matrix", "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [cell["cell"]["nic"] for cell in cells][:5:4] == ["virtio-net", "e1000"]
    assert [cell["result"] and cell["result"]["status"] for cell in cells][:5:4] == [None, "failed"]

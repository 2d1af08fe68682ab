"""Which cells run: patterns, requirements, and an empty matrix that says why."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from harness.cell.job import Cell, CellJob
from harness.cli.app import run_app
from harness.errors import LabError, UsageError
from harness.guests import catalogue
from harness.matrix.admission import Admission, longest_first, need_mib
from harness.matrix.select import Planned, Requirement, chosen, holds, plan

CELLS = [Cell("wine", "e1000"), Cell("wine", "e1000+mtu=9000"), Cell("windows", "e1000"), Cell("wine", "pcnet", "new")]


def running(planned: list[Planned]) -> list[str]:
    return [str(each.cell) for each in planned if not each.skip]


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        ((), (), [str(cell) for cell in CELLS]),
        (("e1000*",), ("*+mtu=9000",), ["wine x e1000", "windows x e1000"]),
        (("wine x *",), ("pcnet",), ["wine x e1000", "wine x e1000+mtu=9000"]),
        (("new",), (), ["wine x pcnet x new"]),
        ((), ("wine x pcnet",), ["wine x e1000", "wine x e1000+mtu=9000", "windows x e1000"]),
    ],
)
def test_patterns(include: tuple[str, ...], exclude: tuple[str, ...], left: list[str]) -> None:
    assert running(plan(CELLS, include, exclude)) == left


def test_a_requirement_skips_with_its_reason() -> None:
    needs = Requirement("windows x *", {"accelerator": "kvm"}, "TCG takes an hour")
    planned = plan(CELLS, requirements=[needs], facts={"accelerator": "tcg"})
    assert planned[2].skip == "needs accelerator kvm, this host has tcg (TCG takes an hour)"
    assert len(running(planned)) == 3
    assert len(running(plan(CELLS, requirements=[needs], facts={"accelerator": "kvm"}))) == 4


@pytest.mark.parametrize(
    ("has", "wanted", "answer"),
    [
        ("7.2.22", ">=7.2", True),
        ("7.2.22", ">=8", False),
        ("10.0", ">9.9", True),
        ("7.2.22", "7.2", True),
        ("7.20", "7.2", False),
        ("", ">=1", False),
        ("tcg", "!=kvm", True),
        ("2", "<=2", True),
    ],
)
def test_comparisons(has: str, wanted: str, answer: bool) -> None:
    assert holds(has, wanted) is answer


def test_an_empty_matrix_says_why() -> None:
    with pytest.raises(UsageError) as raised:
        chosen(plan(CELLS, ("wine x *",), ("wine",)))
    assert "excluded by 'wine'" in raised.value.what
    assert "windows x e1000: not included by 'wine x *'" in raised.value.what


def test_contradictory_filters_are_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harness.toml").write_text('nics = ["e1000", "pcnet"]\ninclude = ["pcnet"]\nexclude = ["pcnet"]\n')
    for command in ("run", "matrix", "nightly"):
        assert run_app([command]) == 2
        told = capsys.readouterr().err
        assert "the filters leave no cell to run" in told
        assert "excluded by 'pcnet'" in told
    assert {path.name for path in tmp_path.iterdir()} == {"harness.toml"}


def test_the_default_matrix_names_nics_that_exist() -> None:
    names = catalogue.expand_nics(["default", "e1000"])
    assert len(names) == len(set(names)) >= 8
    for name in names:
        catalogue.check_nic(name)


def job(nic: str, memory: int | None = None) -> CellJob:
    return CellJob(Cell("wine", nic), "r", Path("/f"), "i", Path("/d"), Path("/r"), memory_mib=memory)


def test_the_longest_and_the_unknown_come_first() -> None:
    ordered = longest_first([job("a"), job("b"), job("c")], {("wine", "a"): 5.0, ("wine", "b"): 9.0})
    assert [each.cell.nic for each in ordered] == ["c", "b", "a"]


def test_needs_are_measured_where_there_is_a_measurement() -> None:
    assert need_mib(job("a"), {("wine", "a"): 100}) < need_mib(job("a"), {})
    assert need_mib(job("a", 4096), {}) > 4096
    assert need_mib(job("a"), {}, 4096) > 4096
    assert need_mib(job("a"), {("wine", "a"): 100}, 4096) < 4096


def test_no_more_cells_than_memory_admits() -> None:
    room = Admission(250, lambda _: 100)
    inside: list[int] = []
    most: list[int] = []

    def cell(nic: str) -> None:
        with room.admitted(job(nic)):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=cell, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert max(most) == 2
    assert len(most) == 8


def test_a_cell_that_never_fits_says_so() -> None:
    with (
        pytest.raises(LabError, match="needs 300 MiB, and 250 MiB are free"),
        Admission(250, lambda _: 300).admitted(job("a")),
    ):
        pass

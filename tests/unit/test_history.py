"""The history: what goes in comes out as answers, and a broken file loses nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.errors import LabError, UsageError
from harness.history import answers, questions
from harness.history.store import FILE_NAME, History, asked, opened, tolerated
from harness.results.record import UNLOAD, Attempt, CaseResult, CellResult, Results, RunInfo
from harness.results.status import Status, worst
from harness.verify.verdict import Finding, Verdict

Opening = Callable[[Path], AbstractContextManager[History]]
P, F, I = Status.PASSED, Status.FAILED, Status.INCONCLUSIVE  # noqa: E741
PORT = (Finding(Verdict.ALTERED, 1, 2, "udp.dstport", "9000", "10275"),)


def night(day: int, build: str = "b1", nic: str = "e1000", fault: str = "", **cases: Status) -> Results:
    """A run of one cell; case names without ``test_``."""
    made = tuple(
        CaseResult(f"t.py::test_{name}", status, seconds=day, findings=PORT if status is F else ())
        for name, status in cases.items()
    )
    timings = {"boot": 4.0, "total": 10.0 * day}
    status = worst(case.status for case in made)
    cell = CellResult("wine", nic, status, fault=fault, timings=timings, cases=made, versions={"driver": build})
    return Results(RunInfo(f"r{day}", f"2026-01-{day:02}T00:00:00+00:00", "x"), (cell,))


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Kind, time of change and content of everything in a folder, by name."""
    found = {}
    for path in sorted(folder.iterdir()):
        status = path.lstat()
        found[path.name] = (status.st_mode, status.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
    return found


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with opened(tmp_path / FILE_NAME, pytest.fail) as opened_:
        yield opened_


def fill(history: History, *runs: Results) -> None:
    for run in runs:
        history.add(run, nightly=True)


def test_first_bad_run_and_build_of_a_failure(history: History) -> None:
    fill(history, night(1, a=F), night(2, a=P), night(3, "b2", a=F), night(4, "b2", a=F), night(5, "b3", a=F))
    (bad,) = questions.first_bad(history)
    assert (bad.run, bad.build, bad.good_build, bad.runs) == ("r3", "b2", "b1", 3)
    assert bad.sign == "altered udp.dstport"


def test_an_inconclusive_run_ends_no_row_of_failures(history: History) -> None:
    fill(history, night(1, a=P), night(2, a=F), night(3, a=I), night(4, a=F))
    assert [(bad.run, bad.runs) for bad in questions.first_bad(history)] == [("r2", 2)]


def test_the_end_of_the_driver_is_bad_until_it_unloads(history: History) -> None:
    def ended(run: Results) -> Results:
        cell = replace(run.cells[0], timings={"unload": 1.5, "total": 9.0})
        return replace(run, cells=(cell,))

    wrong = ended(night(2, "b2", a=P))
    case = CaseResult(UNLOAD, F, "an IRP is left")
    wrong = replace(wrong, cells=(replace(wrong.cells[0], cases=(*wrong.cells[0].cases, case)),))
    fill(history, ended(night(1, a=P)), wrong)
    (bad,) = questions.first_bad(history)
    assert (bad.test, bad.build, bad.good_build) == (UNLOAD, "b2", "b1")
    fill(history, ended(night(3, a=I)), night(4, fault="lab"))
    assert questions.first_bad(history), "neither of them saw it unload"
    fill(history, ended(night(5, a=P)))
    assert questions.first_bad(history) == []


def test_runs_without_the_case_are_counted(history: History) -> None:
    fill(history, night(1, a=F, b=P), night(2, b=P), night(3, b=P), night(4, nic="pcnet", b=P))
    (bad,) = questions.first_bad(history)
    assert (bad.runs, bad.missed) == (1, 2)
    (line,) = [line for line in told(history) if "e1000: t.py::test_a" in line]
    assert line.endswith("altered udp.dstport (not in the 2 later runs of the cell)")


def told(history: History, limit: int = 20) -> list[str]:
    return answers.lines(answers.collect(history, case="", guest="", nic="", limit=limit), "", limit)


def test_failures_are_told_by_the_run_that_they_began_with(history: History) -> None:
    many = {f"a[{number}]": F for number in range(9)}
    fill(history, night(1, a=P), night(2, "b2", a=F, b=F), night(3, "b3", a=F, b=F, **many))
    lines = told(history)
    assert lines[1:7] == [
        "  since r3 (2026-01-03T00:00:00+00:00), build b3, never seen to pass; 1 run in a row; 9 failing:",
        "    e1000: t.py::test_a (9 cases): altered udp.dstport",
        "  since r2 (2026-01-02T00:00:00+00:00), build b2, good was b1; 2 runs in a row; 1 failing:",
        "    e1000: t.py::test_a: altered udp.dstport",
        "  since r2 (2026-01-02T00:00:00+00:00), build b2, never seen to pass; 2 runs in a row; 1 failing:",
        "    e1000: t.py::test_b: altered udp.dstport",
    ]
    fill(history, night(4, "b4", c=F, d=F, e=F))
    assert "    ... and 2 more cases (--limit, or name a case)" in told(history, 1)


def test_a_case_that_passes_again_is_not_bad(history: History) -> None:
    fill(history, night(1, a=F), night(2, a=P))
    assert questions.first_bad(history) == []


def test_flakes_are_changes_on_one_build_only(history: History) -> None:
    fill(history, night(1, a=P, b=P), night(2, a=F, b=P), night(3, a=P, b=P), night(4, "b2", a=P, b=F))
    (flake,) = questions.flakes(history)
    assert (flake.test, flake.changes, flake.runs, flake.rate) == ("t.py::test_a", 2, 4, 0.5)


def test_a_retry_that_passed_is_a_flake_and_both_are_kept(history: History) -> None:
    run = night(1, a=P)
    case = replace(run.cells[0].cases[0], earlier=(Attempt(F, "lost", 2.0, "missing"),))
    fill(history, replace(run, cells=(replace(run.cells[0], cases=(case,)),)))
    assert [(point.status, point.attempt) for point in questions.trend(history, "test_a")] == [
        ("failed", 1),
        ("passed", 2),
    ]
    assert [flake.changes for flake in questions.flakes(history)] == [1]
    assert questions.first_bad(history) == []


def test_estimates_leave_out_cells_that_came_to_no_end(history: History) -> None:
    fill(history, night(1, a=P), night(3, a=P), night(9, fault="lab", a=I))
    assert questions.estimates(history) == {("wine", "e1000"): 20.0}


def test_the_trends_of_several_cases_are_told_each_by_itself(history: History) -> None:
    fill(history, night(1, a=P, a_long=F), night(2, a=I, a_long=P))
    both = answers.lines(answers.collect(history, case="test_a", guest="", nic="", limit=9), "test_a")
    assert both[-2:] == ["  .?  wine x e1000: t.py::test_a", "  F.  wine x e1000: t.py::test_a_long"]
    one = answers.lines(answers.collect(history, case="test_a_long", guest="", nic="", limit=9), "test_a_long")
    assert one[-1] == "  F.  wine x e1000"


def test_slowest_and_trend(history: History) -> None:
    fill(history, night(1, a=P), night(2, a=P, b=P))
    assert [(slow.test, slow.mean, slow.longest) for slow in questions.slowest(history)] == [
        ("t.py::test_b", 2.0, 2.0),
        ("t.py::test_a", 1.5, 2.0),
    ]
    assert [point.run for point in questions.trend(history, "test_a")] == ["r1", "r2"]


def test_the_night_before_counts_only_what_was_judged(history: History) -> None:
    fill(history, night(1, a=F), night(2, a=I))
    history.add(night(3, a=P))  # by hand: not a night
    assert questions.before(history, "r9")["wine", "e1000", "", "t.py::test_a"].status == "failed"


def test_a_run_written_twice_counts_once(history: History) -> None:
    fill(history, night(1, a=P), night(1, a=F))
    assert [point.status for point in questions.trend(history, "")] == ["failed"]


def test_pruning_forgets_old_runs_whole(history: History) -> None:
    fill(history, night(1, a=P), night(2, a=P))
    assert history.prune(datetime(2026, 1, 2, tzinfo=UTC)) == 1
    assert [point.run for point in questions.trend(history, "")] == ["r2"]


@pytest.mark.parametrize("how", ["cut", "pages"])
def test_a_broken_file_is_moved_aside_and_filled_from_the_records(tmp_path: Path, how: str) -> None:
    path = tmp_path / FILE_NAME
    with opened(path, pytest.fail) as history:
        fill(history, *(night(day, **{f"case{number}": P for number in range(200)}) for day in range(1, 9)))
    whole = path.read_bytes()
    broken = {
        "cut": whole[: len(whole) // 2 // 4096 * 4096],
        "pages": whole[:8192] + b"\xa5" * (len(whole) - 8192),
    }[how]
    path.write_bytes(broken)
    said: list[str] = []
    with opened(path, said.append, records=lambda: [night(1, a=P), night(2, a=F)]) as history:
        assert history.check() == "ok"
        assert [point.run for point in questions.trend(history, "")] == ["r1", "r2"]
    (aside,) = tmp_path.glob(f"{FILE_NAME}.broken-*")
    assert aside.read_bytes() == broken
    assert str(aside) in said[0]


def test_a_history_of_a_newer_harness_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("CREATE TABLE x (y)")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="newer"), opened(path, pytest.fail):
        pass
    assert path.read_bytes() == before


def strangers(tmp_path: Path) -> list[Path]:
    """Files, and what is none, that never were a history."""
    (tmp_path / "notes.txt").write_text("mine\n")
    (tmp_path / "noise").write_bytes(b"\xa5" * 5000)
    (tmp_path / "head").write_bytes(b"SQLite format 3\0")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with sqlite3.connect(tmp_path / "browser.sqlite") as connection:
        connection.execute("CREATE TABLE run (x)")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    return [tmp_path / name for name in ("notes.txt", "noise", "head", "folder", "fifo", "browser.sqlite")]


@pytest.mark.parametrize("opening", [lambda path: opened(path, pytest.fail), asked])
def test_what_never_was_a_history_is_refused_and_stays(tmp_path: Path, opening: Opening) -> None:
    paths = strangers(tmp_path)
    before = snapshot(tmp_path)
    for path in paths:
        with pytest.raises(UsageError, match="is no history"), opening(path):
            pass
    assert snapshot(tmp_path) == before


def test_a_question_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "odd name?#%20.sqlite"
    with opened(path, pytest.fail) as history:
        fill(history, night(1, a=P), night(2, a=F))
    before = snapshot(tmp_path)
    with asked(path) as history:
        assert [bad.run for bad in questions.first_bad(history)] == ["r2"]
        with pytest.raises(LabError):
            history.add(night(3, a=P))
    assert snapshot(tmp_path) == before
    path.write_bytes(path.read_bytes()[:4096])
    before = snapshot(tmp_path)
    with pytest.raises(LabError, match="is broken"), asked(path):
        pass
    assert snapshot(tmp_path) == before


def test_a_history_with_nonsense_in_it_costs_a_run_one_line(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with opened(path, pytest.fail) as history:
        fill(history, night(1, a=P))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE cell SET timings = '[not json'")
    connection.close()
    said: list[str] = []
    with tolerated(said.append), opened(path, pytest.fail) as history:
        questions.timings(history)
    assert len(said) == 1
    assert said[0].startswith("the run is not in the history")


def test_a_history_that_cannot_be_written_is_the_labs_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LabError), opened(tmp_path / "file" / FILE_NAME, pytest.fail):
        pass

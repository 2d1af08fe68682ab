"""results.json: the record survives the disk, and statuses add up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import EXIT_FAILED, EXIT_LAB, EXIT_PASSED, EXIT_USAGE, UsageError
from harness.files.removal import write_whole
from harness.results.record import SCHEMA, CaseResult, CellResult, Results, RunInfo, dumps, load, load_run, write
from harness.results.status import Status, exit_code, worst
from harness.verify.verdict import DatagramCounts, Finding, Verdict

RUN = RunInfo("r1", "2026-01-02T03:04:05+00:00", "2026-01-02T03:05:05+00:00", {"cores": "2"}, {"qemu": "7.2"})
CASE = CaseResult(
    "tests/regression/test_sizes.py::test_one[ipv4-a::b]",
    Status.FAILED,
    "altered",
    0.25,
    DatagramCounts(expected=2, matched=1, altered=1),
    findings=(Finding(Verdict.ALTERED, 7, 3, "udp.dstport", "9000", "10275", "two\nlines"),),
    evidence={"frames": "5-9"},
)


def test_what_is_said_of_the_run_is_read_without_the_cells(tmp_path: Path) -> None:
    write(Results(RUN, (CellResult("wine", "e1000", Status.FAILED, cases=(CASE,) * 500),)), tmp_path)
    assert load_run(tmp_path) == load(tmp_path).run == RUN
    file = tmp_path / "results.json"
    file.write_text(file.read_text()[:-100])
    assert load_run(tmp_path) == RUN, "the cells do not matter"
    file.write_text(json.dumps({"cells": [], "run": {"id": "r2", "started": "x"}, "schema": SCHEMA}))
    assert load_run(file) == RunInfo("r2", "x"), "in any order"
    for wrong in ("", "{", '{"schema": 1,\n "run": {"id": 1}}', json.dumps({"schema": SCHEMA + 1, "run": {}})):
        file.write_text(wrong)
        with pytest.raises(UsageError):
            load_run(tmp_path)


def results(*statuses: Status, fault: str = "") -> Results:
    return Results(RUN, tuple(CellResult("wine", f"nic{n}", s, fault=fault) for n, s in enumerate(statuses)))


def test_a_record_read_back_is_the_same(tmp_path: Path) -> None:
    cell = CellResult("wine", "e1000", Status.FAILED, accelerator="tcg", timings={"boot": 3.5}, cases=(CASE,))
    whole = Results(RUN, (cell,))
    assert load(write(whole, tmp_path)) == whole
    assert load(tmp_path) == whole


def test_the_documented_keys_are_there() -> None:
    value = json.loads(dumps(Results(RUN, (CellResult("wine", "e1000", Status.FAILED, cases=(CASE,)),))))
    assert value["schema"] == SCHEMA == 1
    assert {"id", "started", "ended", "host", "versions"} <= value["run"].keys()
    assert {"guest", "nic", "accelerator", "status", "reason", "timings", "cases"} <= value["cells"][0].keys()
    case = value["cells"][0]["cases"][0]
    assert {"id", "status", "reason", "seconds", "datagrams"} <= case.keys()
    assert {"expected", "matched", "missing", "altered", "unexpected"} <= case["datagrams"].keys()
    assert case["status"] == "failed"


def test_group_and_name_come_from_the_id() -> None:
    assert (CASE.group, CASE.name) == ("test_sizes", "test_one[ipv4-a::b]")
    assert CaseResult("a.py::T::test_x", Status.PASSED, group="own").group == "own"


def test_what_is_told_of_a_case_is_one_line() -> None:
    assert CaseResult("x", Status.FAILED, "first\nsecond").told() == "first"
    unreasoned = CaseResult("x", Status.FAILED, findings=CASE.findings)
    assert unreasoned.told() == "altered (frame 7, step 3): udp.dstport expected 9000, seen 10275"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is not JSON"),
        ("[]", "not a record of schema 1"),
        ('{"schema": 2}', "not a record of schema 1"),
        ('{"schema": 1, "cells": []}', "not a record of a run"),
        ('{"schema": 1, "run": {"id": "a", "started": "b"}, "cells": [{"status": "odd"}]}', "not a record of a run"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=told) as caught:
        load(file)
    assert "\n" not in caught.value.line()


def test_a_missing_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        load(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_whole(tmp_path / "a.txt", "old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert file.read_text() == "old"


def test_worst_status_wins() -> None:
    p, f, i, s = Status.PASSED, Status.FAILED, Status.INCONCLUSIVE, Status.SKIPPED
    assert worst([p, s]) is p
    assert worst([p, i, s]) is i
    assert worst([p, i, f]) is f
    assert worst([s, s]) is s
    assert worst([]) is i


def test_exit_codes() -> None:
    assert exit_code([Status.PASSED, Status.SKIPPED]) == EXIT_PASSED
    assert exit_code([Status.PASSED, Status.FAILED, Status.INCONCLUSIVE]) == EXIT_FAILED
    assert exit_code([Status.PASSED, Status.INCONCLUSIVE]) == EXIT_LAB
    assert exit_code([Status.SKIPPED]) == EXIT_LAB, "nothing was judged"
    assert exit_code([]) == EXIT_LAB


def test_a_run_that_the_user_got_wrong_exits_2_unless_something_failed() -> None:
    assert results(Status.INCONCLUSIVE, fault="user").exit_code() == EXIT_USAGE
    assert results(Status.FAILED, Status.INCONCLUSIVE, fault="user").exit_code() == EXIT_FAILED
    assert results(Status.INCONCLUSIVE, fault="lab").exit_code() == EXIT_LAB


def test_counts_are_over_all_cells() -> None:
    cell = CellResult("wine", "e1000", Status.FAILED, cases=(CASE, CaseResult("b", Status.PASSED)))
    assert Results(RUN, (cell, cell)).counts()[Status.FAILED] == 2

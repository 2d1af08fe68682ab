"""Nights: what is new, what is known, what a kill leaves, and what is kept; with a script as the worker."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from harness.errors import LabError, UsageError
from harness.history import known
from harness.history.compare import compare
from harness.history.questions import Before
from harness.matrix import bisect, launch, merge, retry
from harness.matrix import run as matrix
from harness.matrix.nightly import examples, keep, night
from harness.report import markdown
from harness.report.progress import Watcher
from harness.results.record import UNLOAD, Attempt, CaseResult, CellResult, Results, RunInfo, load, write
from harness.results.status import Status
from harness.verify.verdict import Finding, Verdict

P, F, I = Status.PASSED, Status.FAILED, Status.INCONCLUSIVE  # noqa: E741
TODAY = date(2026, 2, 1)
PORT = Finding(Verdict.ALTERED, 1, 2, "udp.dstport", "9000", "10275")
LOST = Finding(Verdict.MISSING, None, 3, "", "a datagram")
NOW = datetime(2026, 2, 1, 3, tzinfo=UTC)


def case(name: str, status: Status, *findings: Finding) -> CaseResult:
    return CaseResult(f"t.py::{name}", status, findings=findings)


def cell(*cases: CaseResult, status: Status = P, fault: str = "", nic: str = "e1000", reason: str = "") -> CellResult:
    return CellResult("wine", nic, status, reason, fault, "d.sys", cases=cases, folder=f"cells/wine--{nic}")


def results(*cells: CellResult) -> Results:
    return Results(RunInfo("r1", "2026-02-01T00:00:00+00:00", "x"), cells)


def key(name: str) -> tuple[str, str, str, str]:
    return ("wine", "e1000", "d.sys", f"t.py::{name}")


def test_only_new_failures_fail_the_night() -> None:
    made = results(cell(case("old", F, PORT), case("fixed", P), case("good", P)))
    before = {key("old"): Before("failed", "altered udp.dstport", "r0"), key("fixed"): Before("failed", "x", "r0")}
    found = compare(made, before, (), TODAY)
    assert (len(found.still), len(found.fixed), found.new, found.exit_code()) == (1, 1, (), 0)


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [("t.py::a[1-ipv4]", "a"), ("*::a[*]", "a"), ("t.py::a*", "a"), ("t.py::?[1-ipv?]", "ab"), ("*::[ab][*]", "")],
)
def test_brackets_of_a_known_case_stand_for_themselves(pattern: str, meant: str) -> None:
    entry = known.Known(pattern, "bug 12", TODAY)
    made = results(cell(case("a[1-ipv4]", F, PORT), case("b[1-ipv4]", F, PORT)))
    found = compare(made, {}, (entry,), TODAY)
    assert [change.case for change in found.known] == [f"t.py::{name}[1-ipv4]" for name in meant]


def test_a_driver_that_unloads_again_is_fixed() -> None:
    unloaded = replace(cell(case("good", P)), timings={"unload": 1.0})
    before = {("wine", "e1000", "d.sys", UNLOAD): Before("failed", "verifier irp-leak", "r0")}
    assert [change.case for change in compare(results(unloaded), before, (), TODAY).fixed] == [UNLOAD]
    assert not compare(results(replace(unloaded, fault="lab")), before, (), TODAY).fixed
    still = replace(unloaded, cases=(CaseResult(UNLOAD, F, "verifier irp-leak"),))
    assert not compare(results(still), before, (), TODAY).fixed


@pytest.mark.parametrize("earlier", [None, Before("passed", "", "r0"), Before("failed", "missing", "r0")])
def test_a_failure_is_new_when_it_was_not_there_or_looked_otherwise(earlier: Before | None) -> None:
    before = {key("a"): earlier} if earlier else {}
    found = compare(results(cell(case("a", F, PORT))), before, (), TODAY)
    assert (len(found.new), found.exit_code()) == (1, 1)


def test_known_failures_excuse_until_their_day() -> None:
    entry = known.Known("t.py::a*", "bug 12", TODAY, finding="altered*")
    made = results(cell(case("a[1]", F, PORT)))
    found = compare(made, {}, (entry,), TODAY)
    assert (len(found.known), found.exit_code()) == (1, 0)
    assert "bug 12" in found.known[0].trouble().told
    late = compare(made, {}, (entry,), TODAY + timedelta(days=1))
    assert (late.exit_code(), "expired" in late.new[0].trouble().told) == (1, True)
    assert compare(results(cell(case("a[1]", F, LOST))), {}, (entry,), TODAY).exit_code() == 1
    assert compare(results(cell(case("a[1]", P))), {}, (entry,), TODAY).unneeded == ("t.py::a*: bug 12",)


def test_a_missing_verdict_is_told_apart_from_a_failure() -> None:
    found = compare(results(cell(status=I, fault="lab", reason="no boot"), cell(case("a", I))), {}, (), TODAY)
    assert (len(found.missing), found.exit_code()) == (2, 3)
    assert compare(results(cell(status=F, fault="driver", reason="does not load")), {}, (), TODAY).exit_code() == 1


def test_without_a_history_no_failure_is_called_new() -> None:
    made = results(cell(case("a", F, PORT), case("b", P), status=F))
    found = compare(made, None, (), TODAY)
    assert (found.new, len(found.uncompared), found.exit_code()) == ((), 1, 1)
    text = markdown.render(made, found)
    assert "**Failures (no history to compare with): 1**" in text
    assert "New failures" not in text
    assert compare(results(cell(case("b", P))), None, (), TODAY).exit_code() == 0


@pytest.mark.parametrize("seen", [None, {}])
def test_a_night_whose_history_breaks_compares_with_nothing(
    seen: dict[str, Before] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history cannot be read after the run (``None``), or was begun anew and knows no earlier night (empty)."""

    def before(*_: object) -> dict[str, Before]:
        if seen is None:
            raise sqlite3.DatabaseError("database disk image is malformed")
        return seen

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = results(cell(case("a", F, PORT), status=F))
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(launch, "execute_in", lambda request, folder, watcher, options: (made, folder))
    monkeypatch.setattr("harness.history.questions.before", before)
    told = io.StringIO()
    done = night.run(
        launch.Request(("wine",), ("e1000",)),
        launch.Options(),
        runs=tmp_path / "runs",
        history=tmp_path / "runs" / "history.sqlite",
        known=(),
        bounds=keep.Bounds(),
        watcher=Watcher(Console(file=told, width=200)),
        now=NOW,
    )
    assert (len(done.comparison.new), len(done.comparison.uncompared)) == (0, 1)
    assert "no history to compare with" in (done.folder / markdown.FILE_NAME).read_text()
    assert ("the run is not in the history" in told.getvalue()) is (seen is None)


def test_known_failures_need_reason_and_expiry(tmp_path: Path) -> None:
    file = tmp_path / "known.toml"
    file.write_text('[[known]]\ncase = "t.py::a"\nreason = "bug"\nexpires = 2026-03-01\nnic = "e1000*"\n')
    assert known.load(file)[0].expires == date(2026, 3, 1)
    file.write_text('[[known]]\ncase = "t.py::a"\nreason = "bug"\n')
    with pytest.raises(UsageError, match="expires"):
        known.load(file)
    assert known.load(None) == ()


def test_what_may_be_asked_again() -> None:
    assert retry.wanted(cell(case("a", P))) is None
    assert retry.wanted(cell(status=I, fault="lab")) == ()
    assert retry.wanted(cell(status=F, fault="driver")) is None
    made = cell(case("lost", F, LOST), case("port", F, PORT), case("both", F, LOST, PORT), case("lab", I))
    assert retry.wanted(made) == ("t.py::lost", "t.py::lab")


def test_both_attempts_are_kept_and_the_case_is_flaky() -> None:
    first = cell(case("a", F, LOST), case("b", P), status=F)
    both = retry.merged(first, cell(case("a", P)))
    assert both.status is P
    assert [attempt.status for attempt in both.cases[0].earlier] == [F]
    assert both.cases[0].flaky
    assert not both.cases[1].earlier
    flaky = compare(results(both), {}, (), TODAY).flaky
    assert "failed, then passed" in flaky[0].trouble().told
    assert retry.wanted(both) is None


def test_a_retry_that_never_came_up_changes_no_verdict() -> None:
    first = cell(case("a", F, LOST), status=F)
    assert retry.merged(first, cell(status=I, fault="lab", reason="no boot")) == first


WORKER = """
import json, os, sys, time
job = json.load(open(sys.argv[1]))
nic = job["cell"]["nic"]
log = os.environ["NIGHT_LOG"]
open(log, "a").write(nic + "\\n")
open(os.path.join(job["folder"], "capture.pcapng"), "w").write("whole")
print(json.dumps({"event": "case", "id": "t.py::x", "status": "passed"}), flush=True)
time.sleep(float(os.environ.get("NIGHT_SLEEP", "0")))
print(json.dumps({"event": "cell", "guest": "wine", "nic": nic, "status": "passed"}), flush=True)
"""
SCRIPT = """
import io, sys
from datetime import datetime, UTC
from pathlib import Path
from rich.console import Console
from harness.matrix import launch, run as matrix
from harness.matrix.nightly import keep, night
from harness.report import facts
from harness.report.progress import Watcher
matrix.command = lambda job_file, **_: [sys.executable, "-c", {worker!r}, str(job_file)]
file = Path("driver.sys"); file.write_bytes(b"MZ")
prepared = launch.Prepared(driver=file, relay=file, verifier=file, keys={{}}, images={{"wine": "abc"}})
launch.prepare = lambda request, watcher: prepared
facts.versions = lambda: {{}}
request = launch.Request(("wine",), ("e1000", "pcnet", "rtl8139", "vmxnet3"), jobs=1)
done = night.run(request, launch.Options(), runs=Path("runs"), history=Path("runs/history.sqlite"), known=(),
                 bounds=keep.Bounds(), watcher=Watcher(Console(stderr=True)), now=datetime.now(UTC))
print(done.folder.name)
sys.exit(done.comparison.exit_code())
"""


def a_night(folder: Path, *, kill_at: int | None = None, sleep: float = 0.0) -> subprocess.CompletedProcess[str]:
    """A night in a process of its own, killed when that many cells have begun, if asked."""
    environment = os.environ | {
        "NIGHT_LOG": str(folder / "log"),
        "NIGHT_SLEEP": str(sleep),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": str(Path(matrix.__file__).parents[2]),
    }
    argv = [sys.executable, "-c", SCRIPT.format(worker=WORKER)]
    process = subprocess.Popen(
        argv, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if kill_at is not None:
        deadline = time.monotonic() + 60
        while not (log := folder / "log").exists() or len(log.read_text().split()) < kill_at:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


@pytest.mark.parametrize("kill_at", [1, 3])
def test_a_killed_night_goes_on_at_its_next_cell(tmp_path: Path, kill_at: int) -> None:
    a_night(tmp_path, kill_at=kill_at, sleep=0.3)
    done = a_night(tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").glob("nightly-*")
    record = load(folder)
    nics = ["e1000", "pcnet", "rtl8139", "vmxnet3"]
    assert [(made.nic, made.status) for made in record.cells] == [(nic, P) for nic in nics]
    assert (tmp_path / "log").read_text().split() == sorted([*nics, nics[kill_at - 1]]), "a finished cell ran again"
    assert all((folder / made.folder / "capture.pcapng").read_text() == "whole" for made in record.cells)
    with sqlite3.connect(tmp_path / "runs" / "history.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("SELECT count(*) FROM cell").fetchone()[0] == 4


def test_a_finished_night_is_not_gone_on_with(tmp_path: Path) -> None:
    first, second = a_night(tmp_path), a_night(tmp_path)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert first.stdout != second.stdout


def test_two_nights_never_share_a_host(tmp_path: Path) -> None:
    with (
        night.locked(tmp_path / "lock"),
        pytest.raises(LabError, match="another night"),
        night.locked(tmp_path / "lock"),
    ):
        pass
    with night.locked(tmp_path / "lock"):
        pass


def test_evidence_goes_by_age_and_size_and_the_record_stays(tmp_path: Path) -> None:
    for day in (1, 20, 30, 31):
        folder = tmp_path / f"nightly-2026-01-{day:02}"
        (folder / "cells" / "a").mkdir(parents=True)
        (folder / "cells" / "a" / "capture.pcapng").write_bytes(os.urandom(100_000))
        write(Results(RunInfo(str(day), f"2026-01-{day:02}T02:00:00+00:00", "x" if day != 30 else ""), ()), folder)
    gone = keep.apply(tmp_path, keep.Bounds(days=25, size=150_000), NOW)
    assert [folder.name[-2:] for folder in gone] == ["20", "01"]
    assert (tmp_path / "nightly-2026-01-01" / "results.json").exists()
    assert (tmp_path / "nightly-2026-01-30" / "cells").exists(), "it has not ended"


def test_a_summary_is_short_and_escapes(tmp_path: Path) -> None:
    bad = case("a", F, replace(PORT, seen="1 | `2` <b>"))
    made = results(cell(bad, status=F), cell(status=I, fault="lab", nic="pcnet", reason="no boot"))
    text = markdown.render(made, compare(made, {}, (), TODAY))
    assert "**New failures: 1**" in text
    assert "1 \\| \\`2\\` \\<b\\>" in text
    assert "| wine x pcnet (no boot) |" in text


def test_a_summary_tells_builds_apart_and_cases_that_are_alike_together() -> None:
    bad = tuple(case(f"a[{number}]", F, replace(PORT, seen=str(number))) for number in range(40))
    good = tuple(case(f"a[{number}]", P) for number in range(40))
    new, old = (replace(cell(*cases), driver=driver) for cases, driver in ((bad, "new"), (good, "old")))
    text = markdown.render(results(new, old), compare(results(new, old), {}, (), TODAY))
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert lines == [
        "- wine x e1000 x new: t.py::a (40 cases): altered (frame 1, step 2): udp.dstport expected 9000, seen 0"
    ]
    assert "| wine x e1000 x new |" in text
    assert "| wine x e1000 x old |" in text
    long = known.Known("t.py::a*", "bug 12", TODAY)
    excused = markdown.render(results(new), compare(results(new), {}, (long,), TODAY))
    assert "(40 cases): known: bug 12, until 2026-02-01; altered" in excused, "the reason is not cut off"


def test_examples_name_this_python_and_folder(tmp_path: Path) -> None:
    paths = examples.write(tmp_path / "units", tmp_path)
    text = {path.name: path.read_text() for path in paths}
    assert f"ExecStart={sys.executable} -m harness nightly" in text["harness-nightly.service"]
    assert f"WorkingDirectory={tmp_path}" in text["harness-nightly.service"]
    assert "Persistent=true" in text["harness-nightly.timer"]
    assert "--shard ${{ matrix.shard }}/3" in text["github-workflow.yml"]


def test_builds_are_found_among_what_a_build_leaves(tmp_path: Path) -> None:
    for number in (2, 10, 1):
        folder = tmp_path / f"{number:02}"
        folder.mkdir()
        for name in ("my.sys", "my.debug.sys", "my.pdb", "netio.sys", "netio.debug.sys", "verifier.sys"):
            (folder / name).touch()
    found = bisect.builds(tmp_path)
    assert [bisect.name(path, tmp_path) for path in found] == ["01/my.sys", "02/my.sys", "10/my.sys"]
    (tmp_path / "01" / "other.sys").touch()
    with pytest.raises(UsageError, match=r"holds several drivers: my\.sys, other\.sys"):
        bisect.builds(tmp_path)
    assert [path.name for path in bisect.builds(tmp_path / "01")] == ["my.sys", "other.sys"], "a flat folder"
    for folder in (tmp_path / "nowhere", tmp_path.parent / "empty"):
        (tmp_path.parent / "empty").mkdir(exist_ok=True)
        with pytest.raises(UsageError):
            bisect.builds(folder)


@pytest.mark.parametrize("first_bad", range(9))
def test_bisect_finds_the_first_bad_build_in_few_runs(first_bad: int) -> None:
    names = [f"b{number}" for number in range(8)]
    found = bisect.search(names, lambda index: (F if index >= first_bad else P, "port"))
    assert found.first_bad == (names[first_bad] if first_bad < 8 else "")
    assert len(found.runs) <= 5


def test_bisect_stops_at_a_build_without_verdict() -> None:
    with pytest.raises(LabError, match="b1 has no verdict"):
        bisect.search(["b0", "b1"], lambda index: (I if index else P, "no boot"))


def test_shards_become_one_run(tmp_path: Path) -> None:
    for number, nic in enumerate(("e1000", "pcnet")):
        shard = tmp_path / str(number)
        (shard / f"cells/wine--{nic}").mkdir(parents=True)
        (shard / f"cells/wine--{nic}/capture.pcapng").write_text(nic)
        write(results(cell(case("a", P), nic=nic)), shard)
    merged = merge.merge([tmp_path / "0", tmp_path / "1"], tmp_path / "all")
    assert [made.nic for made in load(tmp_path / "all").cells] == ["e1000", "pcnet"]
    assert merged.exit_code() == 0
    assert (tmp_path / "all/cells/wine--pcnet/capture.pcapng").read_text() == "pcnet"
    write(results(cell(case("a", F, PORT), nic="pcnet", status=F)), tmp_path / "0")
    with pytest.raises(UsageError, match="verdict in both"):
        merge.merge([tmp_path / "0", tmp_path / "1"], tmp_path / "all2")


def shard(folder: Path, share: str, nic: str, ended: str = "x") -> Path:
    made = results(cell(case("a", P), nic=nic))
    folder.mkdir()
    write(replace(made, run=replace(made.run, shard=share, ended=ended)), folder)
    return folder


def test_a_shard_that_is_missing_or_was_killed_is_no_pass(tmp_path: Path) -> None:
    shards = [shard(tmp_path / name, f"{name}/3", f"nic{name}") for name in "123"]
    whole = merge.merge(shards, tmp_path / "whole")
    assert (whole.exit_code(), whole.run.shard, len(whole.cells)) == (0, "", 3)
    part = merge.merge([shards[1], shards[1]], tmp_path / "part")
    assert part.exit_code() == 3
    assert [(made.nic, made.reason) for made in part.cells if made.fault] == [
        (name, "its record was not given to the merge") for name in ("1/3", "3/3")
    ]
    killed = shard(tmp_path / "killed", "3/3", "nic3", ended="")
    short = merge.merge([*shards[:2], killed], tmp_path / "short")
    assert short.exit_code() == 3
    assert "did not come to its end" in short.cells[-1].reason
    with pytest.raises(UsageError, match="different wholes: 1/3, 1/2"):
        merge.merge([shards[0], shard(tmp_path / "other", "1/2", "nic9")], tmp_path / "none")


def test_shards_of_two_drivers_are_refused(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        made = results(cell(case("a", P), nic=str(number)))
        write(replace(made, run=replace(made.run, versions={"drivers": str(number)})), tmp_path / str(number))
    with pytest.raises(UsageError, match="different versions of drivers"):
        merge.merge([tmp_path / "0", tmp_path / "1"], tmp_path / "all")


def test_attempts_survive_the_record(tmp_path: Path) -> None:
    made = results(cell(replace(case("a", P), earlier=(Attempt(F, "lost", 1.0, "missing", "cells/x"),))))
    write(made, tmp_path)
    assert load(tmp_path) == made
    assert (
        json.loads((tmp_path / "results.json").read_text())["cells"][0]["cases"][0]["earlier"][0]["sign"] == "missing"
    )


def test_a_run_keeps_its_skipped_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "d.sys"
    file.write_bytes(b"MZ")
    prepared = launch.Prepared(driver=file, relay=file, verifier=file, keys={}, images={"wine": "abc"})
    monkeypatch.setattr(launch, "prepare", lambda request, watcher: prepared)
    monkeypatch.setattr(matrix, "command", lambda job_file, **_: [sys.executable, "-c", WORKER, str(job_file)])
    monkeypatch.setenv("NIGHT_LOG", str(tmp_path / "log"))
    request = launch.Request(("wine",), ("e1000", "pcnet"), exclude=("pcnet",))
    (tmp_path / "out").mkdir()
    made = launch.execute(request, tmp_path / "out", Watcher(Console(file=io.StringIO())))
    assert [(each.nic, str(each.status), each.reason) for each in made.cells] == [
        ("e1000", "passed", ""),
        ("pcnet", "skipped", "excluded by 'pcnet'"),
    ]
    assert made.exit_code() == 0

"""A run from request to reports, with a script in the place of the worker."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from harness.cell.job import JOB_FILE, CellJob
from harness.errors import LabError, UsageError
from harness.matrix import launch
from harness.matrix import run as matrix
from harness.report.progress import Watcher
from harness.results.record import load
from harness.results.status import Status

WORKER = """
import json, sys
job = json.load(open(sys.argv[1]))
print(json.dumps({"event": "case", "id": "t.py::x", "status": "passed"}))
print(json.dumps({"event": "cell", "guest": "wine", "nic": job["cell"]["nic"], "status": "passed"}))
"""


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Watcher:
    """Prepares the fake worker as well."""
    argv = [sys.executable, "-c", WORKER]
    monkeypatch.setattr(matrix, "command", lambda job_file, **_: [*argv, str(job_file)])
    prepared = launch.Prepared(Path("/d.sys"), Path("/ctl.exe"), {"image wine": "abc"}, {"wine": "abc"})
    monkeypatch.setattr(launch, "prepare", lambda request, watcher: prepared)
    monkeypatch.setattr("harness.report.facts.versions", lambda: {"qemu": "7.2"})
    return Watcher(Console(file=io.StringIO()))


def test_a_run_leaves_record_reports_and_a_folder_per_cell(tmp_path: Path, watcher: Watcher) -> None:
    request = launch.Request(("wine",), ("e1000", "pcnet"), jobs=2)
    results = launch.execute(request, tmp_path, watcher)
    assert results.exit_code() == 0
    assert load(tmp_path) == results
    assert results.run.ended >= results.run.started
    assert results.run.versions == {"qemu": "7.2", "image wine": "abc"}
    assert results.run.host["cores"]
    left = {"results.json", "plan.json", "junit.xml", "index.html", "cells"}
    assert left == {path.name for path in tmp_path.iterdir()}
    assert {path.name for path in (tmp_path / "cells").iterdir()} == {"wine--e1000", "wine--pcnet"}
    assert [cell.folder for cell in results.cells] == ["cells/wine--e1000", "cells/wine--pcnet"]


def test_the_job_is_complete_and_absolute(tmp_path: Path, watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request = launch.Request(("wine",), ("e1000",), suite=(Path("mine"),), driver=Path("my.sys"), memory_mib=300)
    (tmp_path / "out").mkdir()
    launch.execute(request, tmp_path / "out", watcher)
    job = CellJob.from_json((tmp_path / "out/cells/wine--e1000" / JOB_FILE).read_text())
    assert (job.suite, job.driver, job.image) == ((tmp_path / "mine",), Path("/d.sys"), "abc")
    assert job.memory_mib == 300
    assert job.isolated


def test_a_cell_is_asked_for_once() -> None:
    assert len(launch.Request(("wine", "wine"), ("e1000", "e1000")).cells()) == 1


def test_a_run_goes_on_with_what_has_no_verdict_and_with_nothing_else(tmp_path: Path, watcher: Watcher) -> None:
    resume = launch.Options(resume=True)
    both = launch.Request(("wine",), ("e1000", "pcnet"))
    first = launch.execute(both, tmp_path, watcher, resume)
    assert first.exit_code() == 0, "a run that is not there begins"
    again = launch.execute(both, tmp_path, watcher, resume)
    assert again.cells == first.cells, "all have their verdicts"
    with pytest.raises(UsageError, match="is one of other cells"):
        launch.execute(launch.Request(("wine",), ("e1000",)), tmp_path, watcher, resume)
    assert load(tmp_path).cells == first.cells, "nothing is lost"


@pytest.mark.parametrize("changed", ["suite/test_a.py", "my.sys", "adapter.py", "verifier"])
def test_a_run_does_not_go_on_with_something_else(
    tmp_path: Path, watcher: Watcher, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    for name in ("suite/test_a.py", "my.sys", "adapter.py", "verifier"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("before")
    prepared = launch.Prepared(tmp_path / "my.sys", Path("/ctl.exe"), {}, {"wine": "abc"}, tmp_path / "verifier")
    monkeypatch.setattr(launch, "prepare", lambda request, watcher: prepared)
    adapter = f"{tmp_path / 'adapter.py'}:Mine"
    request = launch.Request(("wine",), ("e1000",), suite=(tmp_path / "suite",), adapter=adapter)
    launch.execute(request, tmp_path / "run", watcher, launch.Options(resume=True))
    launch.execute(request, tmp_path / "run", watcher, launch.Options(resume=True))
    (tmp_path / changed).write_text("after")
    with pytest.raises(UsageError, match="is one of other"):
        launch.execute(request, tmp_path / "run", watcher, launch.Options(resume=True))


def test_a_shard_says_so(tmp_path: Path, watcher: Watcher) -> None:
    request = launch.Request(("wine",), ("e1000", "pcnet", "rtl8139"))
    second = launch.execute(request, tmp_path, watcher, launch.Options(shard=(2, 2)))
    assert ([cell.nic for cell in second.cells], second.run.shard) == (["pcnet"], "2/2")
    with pytest.raises(UsageError, match="shard 4 of 4 has no cell"):
        launch.execute(request, tmp_path, watcher, launch.Options(shard=(4, 4)))
    assert load(tmp_path) == second, "and the record that was there stays"


def test_stale_evidence_does_not_survive_in_the_same_folder(tmp_path: Path, watcher: Watcher) -> None:
    request = launch.Request(("wine",), ("e1000",))
    launch.execute(request, tmp_path, watcher)
    stale = tmp_path / "cells" / "wine--e1000" / "capture.pcapng"
    stale.touch()
    launch.execute(request, tmp_path, watcher)
    assert not stale.exists()


def test_a_run_that_ends_early_leaves_a_record_that_is_no_pass(
    tmp_path: Path, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_request: launch.Request, _watcher: Watcher) -> None:
        raise LabError("no space")

    monkeypatch.setattr(launch, "prepare", no_space)
    with pytest.raises(LabError):
        launch.execute(launch.Request(("wine",), ("e1000",)), tmp_path, watcher)
    assert load(tmp_path).status is Status.INCONCLUSIVE
    assert json.loads((tmp_path / "results.json").read_text())["run"]["ended"] == ""


def test_a_person_s_note_in_a_cell_s_folder_stays(tmp_path: Path, watcher: Watcher) -> None:
    request = launch.Request(("wine",), ("e1000",))
    place = tmp_path / "cells" / "wine--e1000"
    place.mkdir(parents=True)
    for name in ("note.txt", "capture.pcapng"):
        (place / name).write_text("of before")
    launch.execute(request, tmp_path, watcher)
    assert (place / "note.txt").read_text() == "of before"
    assert not (place / "capture.pcapng").exists()


@pytest.mark.parametrize("name", ["cells", "cells/wine--e1000"])
def test_no_cell_is_written_through_a_link(name: str, tmp_path: Path, watcher: Watcher) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "run" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link, through which nothing is written"):
        launch.execute(launch.Request(("wine",), ("e1000",)), tmp_path / "run", watcher)
    assert not any((tmp_path / "elsewhere").iterdir())

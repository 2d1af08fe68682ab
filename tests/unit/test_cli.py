"""The command line: exit codes, one line per error, and what reaches a run."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from harness import resources
from harness.cell.job import Cell
from harness.cli.app import run_app
from harness.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_LAB, EXIT_PASSED, EXIT_USAGE, LabError, UsageError
from harness.matrix import launch
from harness.report.progress import Watcher
from harness.results.record import CaseResult, CellResult, Results, RunInfo, write
from harness.results.status import Status

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[launch.Request]:
    """Requests that would have been run; each is answered by a passed cell."""
    made: list[launch.Request] = []

    def execute(request: launch.Request, _folder: Path, _watcher: Watcher, _options: launch.Options) -> Results:
        made.append(request)
        cell = CellResult("wine", "e1000", Status.PASSED, cases=(CaseResult("t.py::x", Status.PASSED),))
        return Results(RunInfo("r", "then"), (cell,))

    monkeypatch.setattr(launch, "execute", execute)
    monkeypatch.chdir(tmp_path)
    return made


def one_line(capsys: Capture) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("harness: ")
    return captured.err


def test_help_is_quick_and_needs_no_lab() -> None:
    code = "import sys; from harness.cli.app import run_app; run_app(['--help']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=resources.PACKAGE.parent, capture_output=True, text=True)
    assert "Usage: harness" in done.stdout
    loaded = done.stdout.splitlines()[-1]
    for heavy in ("'libvirt'", "'pydantic'", "'paramiko'", "'pyroute2'", "'pyshark'", "'jinja2'", "'pytest'"):
        assert heavy not in loaded


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run --nic e1001", "did you mean e1000?"),
        ("run --nic e1000+csum=of", "no option"),
        ("run --guest wnie", "did you mean wine?"),
        ("run --driver nowhere.sys", "no such driver file: nowhere.sys"),
        ("run --suite nowhere", "no such suite: nowhere"),
        ("run --config nowhere.toml", "cannot read nowhere.toml"),
        ("run --nik e1000", "No such option: --nik"),
        ("run --jobs 0", "--jobs"),
        ("run -o /proc/1/x", "cannot write into the folder /proc/1/x"),
        ("frobnicate", "No such command 'frobnicate'"),
        ("image build windoze", "no guest 'windoze'"),
        ("image info nothing", "no image 'nothing'"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    line: str, told: str, requests: list[launch.Request], capsys: Capture
) -> None:
    assert run_app(line.split()) == EXIT_USAGE
    assert told in one_line(capsys)
    assert not requests


def test_options_reach_the_run(requests: list[launch.Request], tmp_path: Path) -> None:
    (tmp_path / "my.sys").touch()
    line = "run --nic e1000 --nic rtl8139 --driver my.sys --suite . -k fixed --jobs 1 --memory 512 -o out --json"
    assert run_app(line.split()) == EXIT_PASSED
    request = requests[0]
    assert request.cells() == [Cell("wine", "e1000"), Cell("wine", "rtl8139")]
    assert request.pytest_args == ("-k", "fixed")
    assert (request.driver, request.suite) == (Path("my.sys"), (Path(),))
    assert (request.jobs, request.memory_mib) == (1, 512)


def test_the_file_is_the_default_and_options_win(requests: list[launch.Request], tmp_path: Path) -> None:
    (tmp_path / "harness.toml").write_text('nics = ["rtl8139"]\njobs = 3\n[lab]\nstates = 40\n')
    run_app(["run"])
    run_app(["run", "--nic", "pcnet"])
    assert [request.nics for request in requests] == [("rtl8139",), ("pcnet",)]
    assert [request.jobs for request in requests] == [3, 3]
    assert [request.states_gib for request in requests] == [40, 40]


def test_json_leaves_standard_output_to_the_record(requests: list[launch.Request], capsys: Capture) -> None:
    assert run_app(["run", "--json"]) == EXIT_PASSED
    assert json.loads(capsys.readouterr().out)["cells"][0]["status"] == "passed"


@pytest.mark.parametrize(
    ("status", "code"),
    [(Status.PASSED, EXIT_PASSED), (Status.FAILED, EXIT_FAILED), (Status.INCONCLUSIVE, EXIT_LAB)],
)
def test_the_worst_cell_decides_the_exit_code(
    status: Status, code: int, requests: list[launch.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(RunInfo("r", "then"), (CellResult("w", "a", Status.PASSED), CellResult("w", "b", status)))
    monkeypatch.setattr(launch, "execute", lambda *arguments: results)
    assert run_app(["run"]) == code


def test_an_interrupted_run_is_reported_and_exits_130(
    requests: list[launch.Request], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    cell = CellResult("w", "a", Status.INCONCLUSIVE, "interrupted", fault="lab")
    results = Results(RunInfo("r", "then", interrupted=True), (cell,))
    monkeypatch.setattr(launch, "execute", lambda *arguments: results)
    assert run_app(["run"]) == EXIT_INTERRUPTED
    assert "interrupted" in capsys.readouterr().out


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    def execute(*_arguments: object) -> Results:
        raise error

    monkeypatch.setattr(launch, "execute", execute)
    return run_app(["run", "-o", "out"])


def test_errors_have_their_class_exit_code_and_their_detail_below(
    requests: list[launch.Request], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert raising(LabError("no space", mend="free some", detail="line 1\nline 2"), monkeypatch) == EXIT_LAB
    assert capsys.readouterr().err == "harness: no space; free some\nline 1\nline 2\n"
    assert raising(UsageError("no"), monkeypatch) == EXIT_USAGE
    assert raising(KeyboardInterrupt(), monkeypatch) == EXIT_INTERRUPTED


@pytest.mark.parametrize("error", [OSError(28, "No space left on device", "/a/b"), ZeroDivisionError("x")])
def test_an_unforeseen_error_is_one_line_with_its_traceback_in_a_file(
    error: Exception, requests: list[launch.Request], monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    assert raising(error, monkeypatch) == EXIT_LAB
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == f"traceback: {tmp_path / 'out' / 'traceback.txt'}"
    assert "Traceback" not in "".join(lines)
    assert type(error).__name__ in (tmp_path / "out" / "traceback.txt").read_text()


def test_too_few_open_files_are_one_line(
    requests: list[launch.Request], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert raising(OSError(24, "Too many open files"), monkeypatch) == EXIT_LAB
    assert "ulimit -n" in one_line(capsys)


def test_a_group_without_a_command_shows_its_help(capsys: Capture) -> None:
    assert run_app(["image"]) == EXIT_USAGE
    assert "build" in capsys.readouterr().out


def test_run_folders_do_not_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    now = datetime(2026, 1, 2, 3, 4, 5)
    folders = [launch.run_folder(None, now) for _ in range(2)]
    assert [folder.name for folder in folders] == ["2026-01-02-030405", "2026-01-02-030405-2"]


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    for record in ("", "{}", '{"schema": 1, "results": "of another tool"}'):
        with pytest.raises(UsageError, match="not empty, and the harness did not make it"):
            launch.run_folder(tmp_path, datetime.now())
        (tmp_path / "results.json").write_text(record)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["results.json", "thesis.txt"]
    write(Results(RunInfo("r", "2026"), ()), tmp_path)
    assert launch.run_folder(tmp_path, datetime.now()) == tmp_path

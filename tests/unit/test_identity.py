"""A case is called the same whatever other suites a run has, and no two cases are called the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness import resources
from harness.cell.identity import prefix
from harness.cell.job import Cell, CellJob
from harness.cell.suite import run_suite
from harness.errors import UsageError
from harness.matrix import launch
from tests.unit.test_session_case import Cell as StandIn

BODY = "def test_a(wsk):\n    assert {}\n"


def make(folder: Path, *names: str, package: bool = False) -> list[Path]:
    """Folders with one test file each."""
    suites = []
    for name in names:
        suite = folder / name
        suite.mkdir(parents=True)
        (suite / "test_y.py").write_text(BODY.format(names.index(name) != 1))
        if package:
            (suite / "__init__.py").touch()
        suites.append(suite)
    return suites


def ids(folder: Path, suites: list[Path], only: tuple[str, ...] = ()) -> dict[str, str]:
    """Statuses of a run of these suites by id."""
    cell = StandIn(folder)
    job = CellJob(Cell("wine", "e1000"), "r", folder, "i", Path("/d"), Path("/r"), suite=tuple(suites), only=only)
    run_suite(job, cell.session)
    assert len({result.id for result in cell.session.results}) == len(cell.session.results)
    return {result.id: str(result.status) for result in cell.session.results}


@pytest.mark.parametrize("package", [False, True])
@pytest.mark.parametrize("files", [False, True])
@pytest.mark.parametrize("names", [("q1/pa", "q2/pb", "q3/pc"), ("q1/mine", "q2/mine", "q3/mine")])
def test_suites_with_files_of_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], files: bool, package: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    suites = make(tmp_path, *names, package=package)
    given = [suite / "test_y.py" for suite in suites] if files else suites
    all_of_them = ids(tmp_path, given)
    statuses = ["passed", "failed", "passed"]
    assert all_of_them == {f"{name}/test_y.py::test_a": status for name, status in zip(names, statuses, strict=True)}
    assert ids(tmp_path, given[1:2]) == {f"{names[1]}/test_y.py::test_a": "failed"}
    assert ids(tmp_path, given[::-1]) == all_of_them
    assert ids(tmp_path, given, (f"{names[1]}/test_y.py::test_a",)) == {f"{names[1]}/test_y.py::test_a": "failed"}


def test_a_folder_and_a_file_of_it_are_one_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = make(tmp_path, "one", "two")
    assert list(ids(tmp_path, [first, first / "test_y.py", tmp_path / "two", second])) == [
        "one/test_y.py::test_a",
        "two/test_y.py::test_a",
    ]


def test_a_project_names_its_cases_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (suite,) = make(tmp_path / "project", "deep/suite", "other")[:1]
    (tmp_path / "project" / "harness.toml").touch()
    assert prefix(suite, Path("/")) == prefix(suite / "test_y.py", suite) == "deep/suite/"


def test_cases_that_nothing_tells_apart_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with pytest.raises(UsageError, match=r"q1/t/test_y.py and .*q2/t/test_y.py both have a case t/test_y.py::test_a"):
        ids(tmp_path, make(tmp_path, "q1/t", "q2/t"))


def test_the_harness_s_own_suites_keep_their_names() -> None:
    assert prefix(resources.suite(), Path("/")) == ""
    assert prefix(resources.suite() / "test_buffers.py::test_x", Path("/")) == ""
    assert prefix(resources.root() / "tests" / "defects" / "driver_cases.py", Path("/")) == ""


def test_two_names_of_one_file_are_refused_before_anything_runs(tmp_path: Path) -> None:
    (suite,) = make(tmp_path, "real")
    link = tmp_path / "link"
    link.symlink_to(suite, target_is_directory=True)
    (tmp_path / "test_again.py").symlink_to(suite / "test_y.py")
    request = launch.Request(("wine",), ("e1000",))
    for suites in [(link, suite / "test_y.py"), (suite, tmp_path / "test_again.py"), (tmp_path,)]:
        with pytest.raises(UsageError, match="are the same file"):
            launch.check(replace(request, suite=suites))
    launch.check(replace(request, suite=(suite, suite / "test_y.py")))
    launch.check(replace(request, suite=(link,)))

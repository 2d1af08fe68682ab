"""``harness test``: its closing line counts what its steps did."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from harness import resources
from harness.errors import EXIT_FAILED, EXIT_PASSED, UsageError
from harness.selftest import steps
from harness.selftest.steps import StepResult, closing_line, junit_counts

JUNIT = '<testsuites><testsuite tests="9" failures="2" errors="1" skipped="3"/></testsuites>'


def step(code: int = 0, **counts: int) -> StepResult:
    return StepResult("s", code, 1.0, Counter(counts))


def test_counts_of_all_steps_add_up() -> None:
    steps = [step(), step(passed=3, skipped=1), step(1, passed=2, failed=2, errors=1)]
    assert closing_line(steps, 2.0) == "5 passed, 2 failed, 1 errors, 1 skipped in 2.0s"


def test_a_failed_check_without_tests_counts_as_a_failure() -> None:
    assert closing_line([step(1), step(passed=3)], 2.0).startswith("3 passed, 1 failed")


def test_counts_come_from_junit(tmp_path: Path) -> None:
    file = tmp_path / "r.xml"
    file.write_text(JUNIT)
    assert junit_counts(file) == Counter(passed=3, failed=2, errors=1, skipped=3)
    assert junit_counts(tmp_path / "absent.xml") == Counter()


@pytest.mark.parametrize(("code", "answer"), [(0, EXIT_PASSED), (1, EXIT_FAILED)])
def test_one_failed_step_fails_it_all_and_the_rest_still_runs(
    code: int, answer: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[str] = []

    def call(name: str, _checkout: Path, module: str, *_arguments: str) -> tuple[int, float]:
        called.append(name)
        return (code if module == "mypy" else 0), 0.5

    monkeypatch.setattr(steps, "_call", call)
    assert steps.run(None, fast=True) == answer
    assert called == ["driver build", "ruff check", "ruff format", "mypy", "unit tests"]
    assert f"{code} failed" in capsys.readouterr().out.splitlines()[-1]


def test_a_regression_run_without_a_record_has_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(steps, "_call", lambda *arguments: (0, 0.5))
    assert steps._regression(tmp_path, tmp_path / "out").code != 0


def test_a_bug_that_was_not_caught_is_a_failed_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(steps, "_call", lambda *arguments: (1, 0.5))
    assert steps._defects(tmp_path / "first").counts == Counter(), "no record"
    rows = [{"caught": True}, {"caught": False}, {"caught": True}]
    record = json.dumps({"defects": rows, "clean": {"status": "passed"}})
    (tmp_path / "second" / "defects").mkdir(parents=True)
    (tmp_path / "second" / "defects" / "defects.json").write_text(record)
    assert steps._defects(tmp_path / "second").counts == Counter(passed=4, failed=1)


@pytest.mark.parametrize("harm", ["here/thesis.txt", "here/.git/HEAD", "beside/thesis.txt", "here/new", ""])
def test_harm_to_the_folder_that_defects_are_started_in_fails(
    harm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(_name: str, folder: Path, _module: str, command: str, *arguments: str) -> tuple[int, float]:
        assert (command, folder.name) == ("defects", "here")
        assert "--only" not in arguments
        assert (folder / ".git").is_dir()
        if harm:
            (folder.parent / harm).write_text("gone")
        (tmp_path / "defects").mkdir()
        record = json.dumps({"defects": [{"caught": True}], "clean": {"status": "passed"}})
        (tmp_path / "defects" / "defects.json").write_text(record)
        return 0, 0.5

    monkeypatch.setattr(steps, "_call", call)
    step = steps._defects(tmp_path)
    assert (step.code != 0, step.counts["failed"]) == (bool(harm), int(bool(harm)))
    assert (f"harm: {harm} was" in capsys.readouterr().out) == bool(harm)


def test_an_installed_wheel_has_nothing_to_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "checkout", lambda: None)
    with pytest.raises(UsageError, match="tests a checkout"):
        steps.run(None)

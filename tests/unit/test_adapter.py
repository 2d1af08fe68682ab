"""Adapters are found by name, and a wrong name says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import adapters
from harness.adapter import DriverAdapter, completed, not_offered
from harness.errors import UsageError
from harness.wsk import operations as ops
from harness.wsk import status as nt

GOOD = "from harness.adapter import DriverAdapter\nclass Mine(DriverAdapter):\n    service = 'mine'\n"


def test_an_adapter_is_found_in_a_module_and_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(GOOD)
    assert adapters.find("harness.adapter:DriverAdapter") is DriverAdapter
    assert adapters.find(f"{file}:Mine").service == "mine"
    assert adapters.file_of(f"{file}:Mine") == file
    assert adapters.file_of("mine:Mine") is None


def test_a_files_name_is_made_absolute_and_a_modules_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert adapters.absolute("mine.py:Mine") == f"{tmp_path}/mine.py:Mine"
    assert adapters.absolute("my.module:Mine") == "my.module:Mine"
    assert adapters.absolute("") == ""


@pytest.mark.parametrize(
    "wrong", ["nosuchmodule:X", "harness.adapter:Nothing", "/nowhere.py:X", "harness.adapter", ":"]
)
def test_a_wrong_name_is_wrong_usage(wrong: str) -> None:
    with pytest.raises(UsageError, match="adapter"):
        adapters.find(wrong)


def test_a_class_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="not derived"):
        adapters.find("pathlib:Path")


def test_the_outcomes_that_an_adapter_gives() -> None:
    good, bad = completed(nt.SUCCESS, 5).completion, completed(nt.HOST_UNREACHABLE).completion
    assert good is not None
    assert bad is not None
    assert (good.status, good.information, good.completions) == (nt.SUCCESS, 5, 1)
    assert (bad.returned, bad.status, bad.information) == (nt.HOST_UNREACHABLE, nt.HOST_UNREACHABLE, 0)
    with pytest.raises(pytest.skip.Exception, match="offers no Burst"):
        not_offered(ops.Burst(1, None, 1, 1, 1))

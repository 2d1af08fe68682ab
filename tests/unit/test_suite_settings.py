"""A suite's own pytest configuration is named, since it is not read."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import resources
from harness.cell.suite_settings import unread


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("pytest.ini", "", True),
        (".pytest.ini", "[pytest]\naddopts = -x\n", True),
        ("tox.ini", "[pytest]\n", True),
        ("tox.ini", "[tox]\n", False),
        ("setup.cfg", "[tool:pytest]\n", True),
        ("setup.cfg", "[metadata]\nx = %(y)s\n", False),
        ("pyproject.toml", "[tool.pytest.ini_options]\n", True),
        ("pyproject.toml", "[tool.ruff]\n", False),
        ("pyproject.toml", "not TOML", False),
    ],
)
def test_the_configuration_that_pytest_would_read_is_named(tmp_path: Path, name: str, text: str, told: bool) -> None:
    suite = tmp_path / "tests" / "deep"
    suite.mkdir(parents=True)
    (suite / "test_a.py").touch()
    (tmp_path / name).write_text(text)
    for path in (suite, suite / "test_a.py", Path(f"{suite / 'test_a.py'}::test_b")):
        lines = unread([path, suite])
        assert len(lines) == told
        assert all(str(tmp_path / name) in line for line in lines)


def test_the_nearest_counts_and_the_harness_own_suite_has_none(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for folder in (tmp_path, tmp_path / "tests"):
        (folder / "pytest.ini").touch()
    assert unread([tmp_path / "tests"]) == [
        f"{tmp_path}/tests/pytest.ini is not read: put what the suite needs into its conftest.py"
    ]
    assert unread([resources.suite()]) == []

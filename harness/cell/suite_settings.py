"""Finds the pytest configuration of a suite, which the harness does not read, so that the user is told.

Its ``addopts``, ``python_files`` and the like would change which tests are collected and how they end, for a run as for
its replay on another host. What a suite needs goes into its ``conftest.py``.
"""

from __future__ import annotations

import configparser
import tomllib
from collections.abc import Iterable
from pathlib import Path

from harness import resources

_SECTIONS = {"pytest.ini": "", ".pytest.ini": "", "tox.ini": "pytest", "setup.cfg": "tool:pytest"}


def unread(suites: Iterable[Path]) -> list[str]:
    """A line for each configuration that pytest would read for these suites by itself (pytest's reference, "rootdir").

    Args:
        suites: absolute paths of test files or folders, perhaps with a test's name behind; the harness's own count not.
    """
    found: dict[Path, None] = {}
    for suite in suites:
        path = Path(str(suite).split("::", 1)[0])
        if path.is_relative_to(resources.root()):
            continue
        for folder in (path, *path.parents) if path.is_dir() else path.parents:
            if file := next(filter(_configures, map(folder.joinpath, (*_SECTIONS, "pyproject.toml"))), None):
                found[file] = None
                break
    return [f"{file} is not read: put what the suite needs into its conftest.py" for file in found]


def _configures(file: Path) -> bool:
    """Whether pytest takes its settings from the file."""
    try:
        if not file.is_file():
            return False
        text = file.read_text(encoding="utf-8-sig")
        if file.name == "pyproject.toml":
            return "pytest" in tomllib.loads(text).get("tool", {})
        section = _SECTIONS[file.name]
        if not section:
            return True
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read_string(text)
        return parser.has_section(section)
    except (OSError, ValueError, configparser.Error):
        return False  # pytest would refuse it; it says nothing here either

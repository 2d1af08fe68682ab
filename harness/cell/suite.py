"""Runs a cell's suite: pytest in this process, with the cell's plugin; its own words go to a log."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from harness import resources
from harness.cell.hang import STACKS
from harness.cell.identity import Identities, alike, folder_of, prefix
from harness.cell.job import CellJob
from harness.cell.session import Session
from harness.errors import LabError, UsageError

if TYPE_CHECKING:
    import pytest

    from harness.cell.pytest_plugin import CellPlugin

SUITE_LOG = "suite.log"
_THREADS = "error::pytest.PytestUnhandledThreadExceptionWarning"  # what a thread of a test raises fails the test
_OWN = "ignore:Module already imported so cannot be rewritten; harness:pytest.PytestAssertRewriteWarning"
_WORST_FIRST = (4, 3, 2, 1, 0, 5)
"""Exit codes of pytest: usage, internal error, interrupted, failed, passed, nothing collected."""

_TAIL = 4000  # characters of the log


class _Only:
    """Leaves the cases of a retry and no other."""

    def __init__(self, ids: tuple[str, ...], plugin: CellPlugin) -> None:
        self._ids = frozenset(ids)
        self._plugin = plugin

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep what was asked for."""
        left_out = [item for item in items if self._plugin.case_of(item) not in self._ids]
        items[:] = [item for item in items if self._plugin.case_of(item) in self._ids]
        config.hook.pytest_deselected(items=left_out)


def run_suite(job: CellJob, session: Session) -> None:
    """Run the suite to its end.

    Raises:
        UsageError: a test file cannot be read, or nothing is selected.
        LabError: pytest stumbled, so that cases may be missing.
    """
    import pytest  # late: a restored guest need not wait for it

    from harness.cell.pytest_plugin import CellPlugin

    suites = job.suite or (resources.suite(),)
    ids = Identities(suites, job.names or tuple(prefix(path, Path.cwd()) for path in suites))
    log = job.folder / SUITE_LOG
    with (
        log.open("w", encoding="utf-8", errors="backslashreplace") as words,
        (job.folder / STACKS).open("w", encoding="utf-8") as stacks,
        contextlib.redirect_stdout(words),
    ):
        asked = bool(job.only or job.pytest_args)
        plugin = CellPlugin(session, ids.of, asked=asked, seconds=job.timeout, stacks=stacks)
        faulthandler.enable(stacks)
        arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:timeout", "-p", "no:faulthandler"]
        arguments += ["-W", _THREADS, "-W", _OWN, "--rootdir=/", "-c", "/dev/null", *job.pytest_args]
        plugins: list[object] = [plugin, _Only(job.only, plugin)] if job.only else [plugin]
        codes = [_main([*arguments, *map(str, group)], plugins, group) for group in _apart(suites)]
        faulthandler.disable()
    code = next((code for code in _WORST_FIRST if code in codes), codes[0])
    if plugin.interrupted:
        raise KeyboardInterrupt  # pytest has kept it to itself
    if plugin.namesakes:
        raise UsageError(plugin.namesakes[0], mend="rename one of the folders, or put both below one harness.toml")
    if plugin.collection_errors:
        more = f" (and {len(plugin.collection_errors) - 1} more)" if len(plugin.collection_errors) > 1 else ""
        raise UsageError(f"a test file cannot be read: {plugin.collection_errors[0]}{more}", detail=log.read_text())
    if code == pytest.ExitCode.USAGE_ERROR:
        raise UsageError(f"pytest does not take {' '.join(job.pytest_args)!r}", detail=log.read_text())
    if not plugin.close(int(code)) and code == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise UsageError(f"no test is selected in {', '.join(map(str, suites))}", mend="check --suite and -k")
    if code == pytest.ExitCode.INTERNAL_ERROR:
        raise LabError("pytest stumbled over itself, and cases may be missing", detail=log.read_text()[-_TAIL:])


def _apart(suites: tuple[Path, ...]) -> list[tuple[Path, ...]]:
    """The suites that one run of pytest can take: folder by folder where files of theirs have one name."""
    if not alike(suites):
        return [suites]
    groups: dict[Path, list[Path]] = {}
    for suite in suites:
        groups.setdefault(folder_of(suite), []).append(suite)
    return [tuple(group) for group in groups.values()]


def _main(arguments: list[str], plugins: list[object], suites: tuple[Path, ...]) -> int:
    """Run pytest, and forget the modules of its suites afterwards: those of the next one may have the same names."""
    import pytest

    before, known = list(sys.path), set(sys.modules)
    try:
        return int(pytest.main(arguments, plugins=plugins))
    except Exception:  # pytest raises what it finds when it has ended already, such as what a late thread raised
        traceback.print_exc(file=sys.stdout)
        return int(pytest.ExitCode.INTERNAL_ERROR)
    finally:
        sys.path[:] = before
        folders = tuple(str(folder_of(path).resolve()) + os.sep for path in suites)
        for name in sys.modules.keys() - known:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(folders):
                del sys.modules[name]

"""Runs a cell's suite: pytest in this process, with the cell's plugin; its own words go to a log."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from harness import resources
from harness.errors import LabError, UsageError
from harness.matrix.cells import CellJob
from harness.session.deadline import STACKS
from harness.session.session import Session

if TYPE_CHECKING:
    import pytest

    from harness.pytest_plugin import CellPlugin

SUITE_LOG = "suite.log"
_THREADS = "error::pytest.PytestUnhandledThreadExceptionWarning"  # what a thread of a test raises fails the test
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

    from harness.pytest_plugin import CellPlugin

    suite = [str(path) for path in job.suite or (resources.root() / "tests" / "regression",)]
    log = job.folder / SUITE_LOG
    with (
        log.open("w", encoding="utf-8", errors="backslashreplace") as words,
        (job.folder / STACKS).open("w", encoding="utf-8") as stacks,
        contextlib.redirect_stdout(words),
    ):
        plugin = CellPlugin(session, asked=bool(job.only or job.pytest_args), seconds=job.timeout, stacks=stacks)
        arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:timeout", "-W", _THREADS]
        arguments += [f"--rootdir={Path(suite[0]).parent}", "-c", "/dev/null"]
        plugins = [plugin, _Only(job.only, plugin)] if job.only else [plugin]
        code = pytest.main([*arguments, *job.pytest_args, *suite], plugins=plugins)
    if plugin.interrupted:
        raise KeyboardInterrupt  # pytest has kept it to itself
    if plugin.collection_errors:
        more = f" (and {len(plugin.collection_errors) - 1} more)" if len(plugin.collection_errors) > 1 else ""
        raise UsageError(f"a test file cannot be read: {plugin.collection_errors[0]}{more}", detail=log.read_text())
    if code == pytest.ExitCode.USAGE_ERROR:
        raise UsageError(f"pytest does not take {' '.join(job.pytest_args)!r}", detail=log.read_text())
    if not plugin.close(int(code)) and code == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise UsageError(f"no test is selected in {', '.join(suite)}", mend="check --suite and -k")
    if code == pytest.ExitCode.INTERNAL_ERROR:
        raise LabError("pytest stumbled over itself, and cases may be missing", detail=log.read_text()[-_TAIL:])

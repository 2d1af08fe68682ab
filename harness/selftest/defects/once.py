"""A pytest plugin for cells of which one failure per test function is enough: its further parameters are left out.

After ``SECONDS`` no more cases begin: a driver that fails everything would take an hour to say so.
"""

from __future__ import annotations

import time

import pytest

SECONDS = 240.0

_failed: set[str] = set()
_began = time.monotonic()


def function(case: str) -> str:
    """The test function of a case: its id without the parameters."""
    return case.partition("[")[0]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what has failed."""
    if report.failed:
        _failed.add(function(report.nodeid))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Leave a case out by saying that it has been run."""
    return True if function(item.nodeid) in _failed or time.monotonic() - _began > SECONDS else None

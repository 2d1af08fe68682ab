"""Runs the tests marked ``lab`` inside namespaces of their own, as the harness runs its workers.

Outside, such a test is one child process: this same test, wrapped by ``harness.lab.namespace.command``. So the tests
need no rights beyond the user's, and leave nothing behind.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.lab import namespace

INSIDE = "WSK_HARNESS_TEST_INSIDE"
ROOT = Path(__file__).resolve().parents[2]
SECONDS = 100


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab: runs inside namespaces of its own")
    if os.environ.get(INSIDE) == "1" and not namespace.is_inside():
        namespace.enter()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    if os.environ.get(INSIDE) == "1" or item.get_closest_marker("lab") is None:
        return None
    item.session._setupstate.teardown_exact(None)  # what tests outside set up must not wait for one that runs inside
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    call = pytest.CallInfo.from_call(lambda: run_inside(item.nodeid), when="call")
    item.ihook.pytest_runtest_logreport(report=pytest.TestReport.from_item_and_call(item, call))
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def run_inside(nodeid: str) -> None:
    """Run one test inside a lab and pass on what became of it."""
    argv = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--no-header", nodeid]
    environment = os.environ | {INSIDE: "1"}
    answer = subprocess.run(
        namespace.command(argv), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    skipped = re.search(r"SKIPPED \[\d+\] \S+ (.*)", answer.stdout)
    if skipped:
        pytest.skip(skipped[1])
    if answer.returncode != 0:
        pytest.fail(f"inside the lab:\n{answer.stdout}\n{answer.stderr}", pytrace=False)

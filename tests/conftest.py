"""What all tests need: Ctrl-C reaches them, pytest's folders count as the harness's own, and no test is timed."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

from harness.files import ownership


def pytest_configure() -> None:
    """Let hypothesis measure no time, and give tests of Ctrl-C a SIGINT that arrives.

    A process that inherits an ignored SIGINT would hand that on to every child, and tests of Ctrl-C would hang.
    """
    settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("untimed")  # on a busy host a slow example is no failure
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let the code under test remove what lies in pytest's folders, as it may in those that the harness made."""
    ownership.adopt_new(tmp_path_factory.getbasetemp())

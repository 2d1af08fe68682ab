"""Lets Ctrl-C reach the tests and what they start, even where a shell started them in the background."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """A process that inherits an ignored SIGINT would hand that on to every child, and tests of Ctrl-C would hang."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

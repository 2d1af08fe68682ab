"""Ends a child process that says nothing for too long, so that whoever reads its output does not wait for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Watchdog:
    """Calls ``bite`` once when it is not fed for a time.

    Args:
        bite: ends the process.
        seconds: how long it waits to be fed.
    """

    def __init__(self, bite: Callable[[], object], seconds: float) -> None:
        self.has_bitten = False
        self._bite = bite
        self._seconds = seconds
        self._last = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def fed(self) -> None:
        """The process said something."""
        self._last = time.monotonic()

    def end(self) -> None:
        """Watch no longer."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while (left := self._last + self._seconds - time.monotonic()) > 0:
            if self._over.wait(left):
                return
        self.has_bitten = True
        self._bite()

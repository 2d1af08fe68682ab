"""Ends whoever writes a file without end, so that a guest cannot fill the host's disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

EVERY_SECONDS = 1.0


class FileLimit:
    """Looks at a file's size every second, on a thread of its own, until ``end`` is called.

    A look costs one system call. Waiting for changes instead would cost one wake-up for each byte of a serial console.

    Args:
        path: the file; it need not exist yet.
        most: size in bytes at which ``then`` is called.
        then: ends the writer; called again at the next look if the file has grown since.
        every: seconds between two looks; ``EVERY_SECONDS`` when not given.
    """

    def __init__(self, path: Path, most: int, then: Callable[[], object], *, every: float | None = None) -> None:
        self.path = path
        self.most = most
        self.reached = False
        self._then = then
        self._every = EVERY_SECONDS if every is None else every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"the size of {path.name}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Watch no longer."""
        self._over.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        acted_at = 0
        while not self._over.wait(self._every):
            size = self.path.stat().st_size if self.path.exists() else 0
            if size >= self.most and size > acted_at:
                self.reached = True
                acted_at = size
                self._then()

"""Waits for a file to come into being or to grow: by inotify, with a deadline, never by sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from inotify_simple import INotify, flags

from harness.errors import AwaitTimeout, LabError

T = TypeVar("T")


class Growth:
    """Watches one file; the file need not exist yet, its folder must.

    Args:
        path: the file.

    Raises:
        LabError: its folder is gone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inotify = INotify()
        # Changes of a file are reported to watches on its folder too, so one watch serves before and after creation.
        try:
            self._inotify.add_watch(str(path.parent), flags.CREATE | flags.MODIFY | flags.MOVED_TO | flags.CLOSE_WRITE)
        except OSError as error:
            self._inotify.close()
            raise LabError(f"cannot watch {path}: {path.parent}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching."""
        self._inotify.close()

    def wait(self, seconds: float) -> None:
        """Return at the next change, or after ``seconds``."""
        self._inotify.read(timeout=max(1, int(seconds * 1000)))

    def until(
        self, probe: Callable[[], T | None], awaited: str, seconds: float, *, detail: Callable[[], str] = lambda: ""
    ) -> T:
        """Call ``probe`` now and after each change until it gives something other than ``None``.

        Args:
            probe: looks at the file; may raise to end the wait at once.
            awaited: what is awaited, for the error.
            seconds: deadline from now.
            detail: evidence for the error.

        Raises:
            AwaitTimeout: the deadline passed.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = probe()
            if found is not None:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                raise AwaitTimeout(awaited, seconds, detail=detail())
            # A writer that dies makes no change: probes get a look at least four times a second.
            self._inotify.read(timeout=max(1, int(min(left, 0.25) * 1000)))

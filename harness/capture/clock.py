"""Notices when the host's clock is set while cases run: frames carry its time, which then says nothing any more."""

from __future__ import annotations

import time
from collections.abc import Callable

_MOST = 1.0
"""Seconds of difference that are no step: time is slewed by half a millisecond a second at most (adjtime(3))."""


class Clock:
    """The wall clock against the monotonic one, which nobody can set and which stands still while the host sleeps.

    Args:
        wall, steady: give nanoseconds.
    """

    def __init__(self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = time.monotonic_ns) -> None:
        self.wall = wall
        self.steady = steady
        self._apart = wall() - steady()

    def step(self) -> str:
        """How the wall clock was set since the last call, in words; empty when it was not."""
        before, self._apart = self._apart, self.wall() - self.steady()
        seconds = (self._apart - before) / 1e9
        if abs(seconds) < _MOST:
            return ""
        return f"the host's clock was set by {seconds:+.0f} s, or the host slept, while the case ran"

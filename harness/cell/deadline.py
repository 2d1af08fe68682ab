"""Deadlines for what runs on the main thread of a cell: tests, and calls on the driver that have none of their own.

SIGALRM breaks into whatever Python waits for and raises there, so the error's traceback is the stack of the hang. What
Python cannot break into (a loop in C code) is ended with the whole process some seconds later, by faulthandler, after
it has written all stacks to a file that the parent reads.

A test may use SIGALRM, too. So the clock decides, and not the signal: one that comes early is the test's own, and a
phase that ended late failed, whatever became of the timer.
"""

from __future__ import annotations

import contextlib
import faulthandler
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TextIO

from harness.errors import AwaitTimeout

CASE_SECONDS = 60.0
"""What a case may take, its fixtures included, unless the run or a marker of the test says otherwise."""

CALL_SECONDS = 90.0
"""What a call on the driver or its adapter may take at the end of a case; the relay's own deadlines are shorter."""

LOAD_SECONDS = 240.0
"""What putting a driver into a guest and loading it may take; less than the parent's patience with a silent worker."""

HARD_SECONDS = 15.0
"""How long after its deadline a test that cannot be broken into ends the process."""

_AGAIN_SECONDS = 5.0
_LEAST_SECONDS = 5.0
_TICK = 0.005  # a timer's time and the clock's may differ by so much


class CaseTimeout(BaseException):
    """A test did not end in time. No ``except Exception`` of a test may catch it."""

    def __init__(self, seconds: float, where: str) -> None:
        super().__init__(f"the test did not end within {seconds:g} s: {where}")


class CaseTimeoutError(Exception):
    """The same for the teardown of its fixtures, where pytest ends the other fixtures only after an ``Exception``."""

    def __init__(self, seconds: float, where: str) -> None:
        super().__init__(f"the test's fixtures did not end within {seconds:g} s: {where}")


class OwnAlarmError(Exception):
    """A SIGALRM came before the deadline: the test has sent it, and has no handler for it."""

    def __init__(self, where: str) -> None:
        super().__init__(f"the test raised SIGALRM itself: {where}")


class Deadline:
    """The deadline of one case, over all its phases.

    Args:
        seconds: what they may take together; each phase has at least five, so that a fixture can clean up.
        stacks: an open file that takes the stacks of all threads when nothing else helps.
        tell: called with the seconds that are left when the clock starts, and with ``None`` when it stops.
    """

    def __init__(
        self, seconds: float, stacks: TextIO | None = None, tell: Callable[[float | None], None] = lambda left: None
    ) -> None:
        self.seconds = seconds
        self._last = False
        self._left = seconds
        self._stacks = stacks
        self._tell = tell
        self._since: float | None = None
        self._until = math.inf

    @contextlib.contextmanager
    def running(self, *, last: bool = False) -> Iterator[None]:
        """The clock runs in this block, which is the teardown if ``last``.

        Raises:
            CaseTimeout, CaseTimeoutError: the block did not end in time. They come from within it, or at its end when
                the test has disarmed the timer or caught the error.
            OwnAlarmError: see there.
        """
        self._last = last
        self._start()
        try:
            yield
            if self._since is not None and time.monotonic() >= self._until:
                raise self._overdue("it ended later")
        finally:
            self._stop()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The clock stands still in this block, if it runs."""
        ran = self._since is not None
        self._stop()
        try:
            yield
        finally:
            if ran:
                self._start()

    def _start(self) -> None:
        if not _on_main_thread() or not math.isfinite(self.seconds):
            return
        left = max(self._left, min(_LEAST_SECONDS, self.seconds))
        self._tell(left)
        self._since = time.monotonic()
        self._until = self._since + left
        signal.signal(signal.SIGALRM, self._expire)
        signal.setitimer(signal.ITIMER_REAL, left, _AGAIN_SECONDS)
        if self._stacks is not None:
            faulthandler.dump_traceback_later(left + HARD_SECONDS, file=self._stacks, exit=True)

    def _stop(self) -> None:
        since, self._since = self._since, None
        if since is None:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._stacks is not None:
            faulthandler.cancel_dump_traceback_later()
        self._left -= time.monotonic() - since
        self._tell(None)

    def _expire(self, _signal: int, frame: FrameType | None) -> None:
        if self._since is None:
            return  # it was on its way when the clock was stopped
        if (left := _early(self._until)) is not None:
            signal.setitimer(signal.ITIMER_REAL, left, _AGAIN_SECONDS)
            raise OwnAlarmError(place(frame))
        raise self._overdue(place(frame))

    def _overdue(self, where: str) -> BaseException:
        return CaseTimeoutError(self.seconds, where) if self._last else CaseTimeout(self.seconds, where)


@contextlib.contextmanager
def bounded(seconds: float, awaited: str) -> Iterator[None]:
    """Raise AwaitTimeout in a block that does not end in time; on the main thread, outside of a running ``Deadline``.

    Args:
        seconds: what the block may take.
        awaited: what it waits for, as a person says it.
    """
    if not _on_main_thread():
        yield
        return

    until = time.monotonic() + seconds

    def expire(_signal: int, frame: FrameType | None) -> None:
        if (left := _early(until)) is not None:
            signal.setitimer(signal.ITIMER_REAL, left)  # somebody else's signal has no meaning here
            return
        raise AwaitTimeout(f"{awaited} ({place(frame)})", seconds)

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _early(until: float) -> float | None:
    """Seconds that are left until a time of the monotonic clock; ``None`` when it has come."""
    left = until - time.monotonic()
    return left if left > _TICK else None


def place(frame: FrameType | None) -> str:
    """Where a stack stands, innermost first: "test_a.py:12 in test_hung < ..."; its Python library is left out."""
    found = []
    while frame is not None:
        name = frame.f_code.co_filename
        if not _foreign(name):
            found.append(f"{Path(name).name}:{frame.f_lineno} in {frame.f_code.co_name}")
        elif found and "/_pytest/" in name:
            break
        frame = frame.f_back
    return " < ".join(found[:6]) or "nowhere in a test"


def _foreign(name: str) -> bool:
    return name.startswith((sys.base_prefix + "/lib/", "<")) or "/site-packages/" in name or name == __file__


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()

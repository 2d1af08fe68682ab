"""Threads of a test: finds those that go on after it, and keeps them from the driver and from the tests that follow.

A thread that outlives its test sends when another test is judged. Its test fails, and from then on each of its calls
ends it. Threads of the harness and of its SSH library are no test's; nor is an idle worker of a thread pool, which may
belong to a wider fixture.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import FrameType

from harness.cell.deadline import place
from harness.errors import Failure

GRACE_SECONDS = 1.0
"""How long a test's threads may take to end once its fixtures are torn down."""

_PACKAGE = str(Path(__file__).parents[1])
_API = str(Path(__file__).parents[1] / "api.py")


class ThreadsLeftError(Failure):
    """Threads of a test go on after its end."""

    def __init__(self, threads: Collection[str]) -> None:
        what = f"threads of the test go on after its end: {'; '.join(threads)}"
        super().__init__(what, mend="have the test, or the teardown of its fixture, end and join them")


class Threads:
    """The threads of the test that runs, and those that were found to outlive theirs."""

    def __init__(self) -> None:
        self._before: frozenset[threading.Thread] = frozenset()
        self._barred: set[threading.Thread] = set()

    def begin(self) -> None:
        """A test begins: threads that run now are not its own."""
        self._before = frozenset(threading.enumerate())

    def left(self) -> list[str]:
        """Wait for the test's threads to end, for a moment; bar those that do not, and say where each stands."""
        deadline = time.monotonic() + GRACE_SECONDS
        found = []
        for thread in threading.enumerate():
            if thread in self._before or not _of_a_test(thread):
                continue
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread in threading.enumerate() and _of_a_test(thread):  # a join that was broken into says it ended
                self._barred.add(thread)
                found.append(f"{thread.name} at {_where(_frame(thread))}")
        self._before = frozenset(threading.enumerate())
        return found

    def pass_or_end(self) -> None:
        """End the calling thread if its test is over."""
        if self._barred and threading.current_thread() in self._barred:
            raise SystemExit

    @contextlib.contextmanager
    def hooked(self) -> Iterator[None]:
        """What a barred thread raises is nobody's any more: its test has failed already."""
        before = threading.excepthook

        def hook(told: threading.ExceptHookArgs) -> None:
            if told.thread not in self._barred:
                before(told)

        threading.excepthook = hook
        try:
            yield
        finally:
            threading.excepthook = before


def _of_a_test(thread: threading.Thread) -> bool:
    """Whether a thread is none of the harness's or its libraries', and no idle worker of a pool."""
    if thread is threading.current_thread() or isinstance(thread, threading._DummyThread):
        return False
    stack: list[FrameType] = []
    frame = _frame(thread)
    while frame is not None:
        stack.append(frame)
        frame = frame.f_back
    names = [frame.f_code.co_filename for frame in reversed(stack)]  # outermost first
    names = [name for name in names if name != threading.__file__]
    if not names:
        return thread in threading.enumerate()  # in its own library or in C: a timer, say
    if "/paramiko/" in names[0] or (names[0].startswith(_PACKAGE) and names[0] != _API):
        return False
    return not (names[0].endswith("/concurrent/futures/thread.py") and len(names) == 1)


def _where(frame: FrameType | None) -> str:
    """Where a thread stands in its test; where the test's own code is not on its stack, where it stands at all."""
    own = frame
    while own is not None and own.f_code.co_filename.startswith(_PACKAGE):
        own = own.f_back
    said = place(own)
    if said.startswith("nowhere") and frame is not None:
        said = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_name}"
    return said


def _frame(thread: threading.Thread) -> FrameType | None:
    return sys._current_frames().get(thread.ident or 0)

"""The one tree of exceptions: who was wrong decides the class, and the class decides the exit code.

A ``Failure`` says that the system under test was wrong, a ``LabError`` that the lab was (the case is
then inconclusive, never failed), a ``UsageError`` that the user was. Code that cannot tell must raise
``LabError``: the driver is innocent until a verdict names what it did.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_LAB = 3
EXIT_INTERRUPTED = 130  # after Ctrl-C or SIGTERM, as shells have it (128 + SIGINT); results are written all the same


class HarnessError(Exception):
    """Base of everything the harness raises on purpose.

    Args:
        what: one line: what happened, to what, in the user's words.
        mend: how to mend it, as a command where there is one; empty when nothing is known.
        detail: evidence that may span lines (the guest's console, a tool's error output).
    """

    exit_code: ClassVar[int] = EXIT_LAB

    def __init__(self, what: str, *, mend: str = "", detail: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend
        self.detail = detail

    def line(self) -> str:
        """The error as the one line that a person reads: what, then how to mend it."""
        return f"{self.what}; {self.mend}" if self.mend else self.what


class Interrupted(KeyboardInterrupt):
    """The parent asked the worker to end; pytest ends a suite by this base and takes any other for a failed test."""


def interruption(error: BaseException) -> KeyboardInterrupt | None:
    """The interruption that led to ``error``: what it cut short may fail to close, and raise another in its place."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__context__
    return seen


class UsageError(HarnessError):
    """The user asked for something that cannot be: a wrong option, key, name, path or right."""

    exit_code = EXIT_USAGE


class LabError(HarnessError):
    """The lab was wrong: host, namespace, bridge, libvirt, QEMU, guest boot, SSH, capture."""

    exit_code = EXIT_LAB


class AwaitTimeout(LabError):
    """An awaited event did not come before its deadline.

    Args:
        awaited: what was awaited ("the guest's SSH banner").
        seconds: how long it was awaited.
        detail: last lines of the console, or whatever else tells why.
    """

    def __init__(self, awaited: str, seconds: float, *, mend: str = "", detail: str = "") -> None:
        super().__init__(f"waited {seconds:.1f} s for {awaited}, which did not come", mend=mend, detail=detail)
        self.awaited = awaited
        self.seconds = seconds


class Failure(HarnessError):
    """The system under test was wrong: a driver that does not load, faults, hangs or sends what it must not."""

    exit_code = EXIT_FAILED


_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Name the place when what is done in the block meets a disk that takes no more; other errors go on.

    Raises:
        LabError: the disk is full, over its quota, read-only or broken.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise LabError(
            f"cannot write {place}: {error.strerror}", mend="free some space there, and run again"
        ) from error

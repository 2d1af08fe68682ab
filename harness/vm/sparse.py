"""Copies files with holes: a guest's memory, a guest's disk."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path


def copy(source: Path, target: Path) -> None:
    """Copy a file and see it on the disk; what was never written takes no space in the copy either.

    Raises:
        OSError: no space, or a file cannot be read or written.
    """
    with source.open("rb") as old, target.open("xb") as new:
        size, at = os.fstat(old.fileno()).st_size, 0
        new.truncate(size)
        with contextlib.suppress(_NoMoreData):
            while at < size:
                start, at = _next_data(old.fileno(), at)
                os.lseek(old.fileno(), start, os.SEEK_SET)
                os.lseek(new.fileno(), start, os.SEEK_SET)
                while start < at:
                    start += os.sendfile(new.fileno(), old.fileno(), None, at - start)
        os.fsync(new.fileno())  # after a power cut the state must not be whole by name and have holes


class _NoMoreData(Exception):
    """Only a hole is left of a file."""


def _next_data(file: int, at: int) -> tuple[int, int]:
    try:
        start = os.lseek(file, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise _NoMoreData from None
        raise
    return start, os.lseek(file, start, os.SEEK_HOLE)

"""Standard output and error for the time of a command: a reader that goes away ends no command and changes no verdict.

``harness verify ... | head -1`` closes our output while we write; a terminal that hangs up does, too. What is written
after that goes nowhere, and the command's exit code is its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from harness.errors import LabError

_GONE = {errno.EPIPE, errno.EIO, errno.EBADF}


class _Output:
    """A text stream whose reader may go.

    Args:
        stream: the stream.
        forgiving: forgive a disk that takes no more as well: for progress, which is no result.
    """

    def __init__(self, stream: TextIO, *, forgiving: bool) -> None:
        self._stream = stream
        self._forgiving = forgiving

    def write(self, text: str) -> int:
        with self._left():
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for each in lines:
            self.write(each)

    def flush(self) -> None:
        with self._left():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)

    @contextmanager
    def _left(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            nowhere(self._stream)
            if error.errno not in _GONE and not self._forgiving:
                raise LabError(f"cannot write the output: {error.strerror or error}") from error


def nowhere(stream: TextIO) -> None:
    """Let everything that is still to be written to a stream go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        target = os.open(os.devnull, os.O_WRONLY)
        os.dup2(target, stream.fileno())
        os.close(target)
        stream.flush()


@contextmanager
def patient() -> Iterator[None]:
    """Make standard output and error patient, and able to write any text, while the context lasts."""
    before = sys.stdout, sys.stderr
    for stream in before:
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # None, or not a TextIOWrapper
    if sys.stdout is not None:
        sys.stdout = cast("TextIO", _Output(sys.stdout, forgiving=False))
    if sys.stderr is not None:
        sys.stderr = cast("TextIO", _Output(sys.stderr, forgiving=True))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before

"""Joins this process's terminal, or whatever its standard input and output are, to a program in the guest."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Protocol

LEAVE = b"\x1d"  # Ctrl-], as in telnet and virsh
LEFT = 0
NO_READER = 141  # as a shell says it of a program that SIGPIPE ended
_CHUNK = 1 << 16


class Program(Protocol):
    """A program in the guest (``harness.control.ssh.Stream``)."""

    def fileno(self) -> int:
        """Readable when there is output, or none any more."""

    def read(self, size: int, /) -> bytes:
        """Output; none at its end."""

    def write(self, data: bytes, /) -> object:
        """Input."""

    def errors(self) -> str:
        """What it wrote to its standard error, where that has a way of its own."""

    def end_input(self) -> None:
        """No more input."""

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has another size."""

    def exit_code(self) -> int:
        """Of the program, once its output has ended; -1 when it has none."""


def size(descriptor: int = 1) -> tuple[int, int]:
    """Columns and rows of a terminal; 80 and 24 where there is none."""
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        return 80, 24
    return (columns or 80), (rows or 24)


def attend(program: Program, source: int | None = 0, sink: int = 1) -> int:
    """Pass everything on in both directions until the program ends, or until Ctrl-] on a terminal.

    Args:
        program: in the guest.
        source: descriptor that is read; if it is a terminal, keys go to the guest as they are. ``None`` is no input.
        sink: descriptor that is written.

    Returns:
        the program's exit code; 0 when it was left, ``NO_READER`` when nobody reads what it says any more.

    Raises:
        LabError: the connection to the guest broke while something was sent.
    """
    with contextlib.ExitStack() as stack:
        keys = source is not None and os.isatty(source)
        # Of what can be read, epoll takes pipes and terminals, select plain files as well.
        selector = stack.enter_context(selectors.SelectSelector())
        selector.register(program.fileno(), selectors.EVENT_READ)
        if source is None:
            program.end_input()
        else:
            selector.register(source, selectors.EVENT_READ)
            if keys:
                stack.enter_context(_raw(source))
                signal.signal(signal.SIGWINCH, lambda _number, _frame: program.resize(*size(source)))
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if source is not None and source in ready:
                data = os.read(source, _CHUNK)
                if keys and LEAVE in data:
                    return LEFT
                if data:
                    program.write(data)
                else:
                    selector.unregister(source)
                    program.end_input()
            if program.fileno() in ready:
                data = program.read(_CHUNK)
                if not data:
                    sys.stderr.write(program.errors())
                    return program.exit_code()
                if not _written(sink, data):
                    return NO_READER


def _written(sink: int, data: bytes) -> bool:
    """Write all; whether there is still somebody who reads it."""
    try:
        while data:
            data = data[os.write(sink, data) :]
    except BrokenPipeError:
        return False
    return True


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """A terminal that gives each key at once, whatever it means, and shows none by itself."""
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

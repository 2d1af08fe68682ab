"""A person's terminal, or pipes, joined to a program in the guest."""

from __future__ import annotations

import os
import pty
import select
import termios
import threading
import time
from collections.abc import Iterator

import pytest

from harness.shell import terminal
from harness.shell.worker import exit_of


class Program:
    """A program that answers what it is told, in capitals, and ends with its input or at ``exit``."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        self.sizes: list[tuple[int, int]] = []
        self.ended = False

    def fileno(self) -> int:
        return self._out

    def read(self, size: int) -> bytes:
        return os.read(self._out, size)

    def write(self, data: bytes) -> None:
        os.write(self._in, data.upper())
        if b"exit" in data:
            self.end_input()

    def errors(self) -> str:
        return "a complaint\n"

    def end_input(self) -> None:
        self.ended = True
        os.close(self._in)

    def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))

    def exit_code(self) -> int:
        return 7


@pytest.fixture
def sink() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_pipes_are_joined_until_the_program_ends(sink: tuple[int, int], capsys: pytest.CaptureFixture[str]) -> None:
    source, feed = os.pipe()
    os.write(feed, b"sc query")
    os.close(feed)
    assert terminal.attend(Program(), source, sink[1]) == 7
    assert os.read(sink[0], 100) == b"SC QUERY"
    assert capsys.readouterr().err == "a complaint\n"


def test_a_plain_file_is_input_like_any_other(sink: tuple[int, int], tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("in") / "input"
    file.write_bytes(b"from a file")
    with file.open("rb") as opened:
        assert terminal.attend(Program(), opened.fileno(), sink[1]) == 7
    assert os.read(sink[0], 100) == b"FROM A FILE"


def test_no_input_is_ended_at_once(sink: tuple[int, int]) -> None:
    program = Program()
    assert terminal.attend(program, None, sink[1]) == 7
    assert program.ended


def test_nobody_has_to_read_to_the_end() -> None:
    source, feed = os.pipe()
    os.write(feed, b"much to say")
    reader, writer = os.pipe()
    os.close(reader)
    assert terminal.attend(Program(), source, writer) == terminal.NO_READER
    for descriptor in (source, feed, writer):
        os.close(descriptor)


def test_keys_go_to_the_guest_as_they_are_and_one_key_leaves(sink: tuple[int, int]) -> None:
    keys, screen = pty.openpty()
    before = termios.tcgetattr(screen)
    seen: list[bytes] = []

    def person() -> None:
        deadline = time.monotonic() + 5.0
        while termios.tcgetattr(screen) == before and time.monotonic() < deadline:
            time.sleep(0.01)  # keys that come earlier are the terminal's own
        os.write(keys, b"a\x03\x04")
        while len(b"".join(seen)) < 3 and select.select([sink[0]], [], [], 5.0)[0]:
            seen.append(os.read(sink[0], 100))
        os.write(keys, b"\x1dexit")  # what ends the program is not for it any more

    threading.Thread(target=person).start()
    program = Program()
    assert terminal.attend(program, screen, sink[1]) == terminal.LEFT
    assert b"".join(seen) == b"A\x03\x04", "neither Ctrl-C nor Ctrl-D was for this process"
    assert not program.ended
    assert termios.tcgetattr(screen) == before


def test_no_exit_code_of_the_guest_looks_like_another_ones_success() -> None:
    assert [exit_of(code) for code in (0, 1, 255, 256, 1060, 0xC0000100, -1)] == [0, 1, 255, 255, 255, 255, 3]


def test_no_terminal_has_the_usual_size() -> None:
    reader, writer = os.pipe()
    assert terminal.size(reader) == (80, 24)
    os.close(reader)
    os.close(writer)

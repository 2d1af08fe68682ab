"""Inputs without an end, and work that takes long: refused in one line, or told apart from silence."""

from __future__ import annotations

import gzip
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from harness.capture import streams
from harness.capture.files import CaptureFile
from harness.capture.tshark import one_pass
from harness.cell.alive import SIGN, signs_of_life
from harness.cell.events import decode
from harness.control import wskctl
from harness.errors import LabError, UsageError
from harness.lab import file_limit
from harness.lab.file_limit import FileLimit
from harness.vm import machine
from harness.vm.domain import BootSpec, DomainSpec
from harness.vm.libvirt import Connection, Event
from tests.corpus import containers as made
from tests.corpus.containers import Record


def test_a_fifo_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, Path("/dev/zero"), tmp_path):
        with pytest.raises(UsageError, match=r"is not a regular file|is a folder") as refused:
            CaptureFile(path)
        assert "\n" not in refused.value.line()


def test_a_small_file_that_uncompresses_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_UNCOMPRESSED", 1 << 20)
    content = made.pcap([Record(bytes(1000))] * 2000)
    for name, data in (("plain", content), ("packed", gzip.compress(content))):
        (tmp_path / name).write_bytes(data)
    with CaptureFile(tmp_path / "plain") as file:
        assert sum(len(batch) for batch in file.batches()) == 2000
    with CaptureFile(tmp_path / "packed") as file, pytest.raises(UsageError, match="uncompresses to more than"):
        sum(len(batch) for batch in file.batches())


def test_long_work_shows_that_it_lives_and_ends_its_signs() -> None:
    told: list[dict[str, Any]] = []
    second = threading.Event()

    def emit(event: dict[str, Any]) -> None:
        told.append(event)
        if len(told) == 2:
            second.set()

    with signs_of_life(emit, 0.001):
        assert second.wait(10.0), "no second sign of life within 10 s"
    count = len(told)
    assert all(event == SIGN for event in told)
    assert "alive" not in {thread.name for thread in threading.enumerate()}
    assert len(told) == count


def test_a_reader_of_events_passes_over_a_sign_of_life() -> None:
    with pytest.raises(ValueError, match="not an event"):
        decode('{"event": "alive"}')


@pytest.mark.parametrize("program", ["sleep 600", "yes 1", "yes"], ids=["silent", "repeating", "raving"])
def test_a_tshark_that_says_nothing_new_is_ended_and_named(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "tshark"
    silent.write_text(f"#!/bin/sh\nexec {program}\n")
    silent.chmod(0o755)
    monkeypatch.setattr(one_pass, "find", lambda: str(silent))
    monkeypatch.setattr(one_pass, "SILENCE_SECONDS", 0.2)
    with pytest.raises(LabError, match=r"said nothing new of .*capture for 0 s"):
        one_pass.dissect_file(tmp_path / "capture", {1})


def test_a_file_that_grows_without_end_ends_its_writer_once_a_look(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    ends: list[int] = []
    again = threading.Event()

    def end() -> None:
        ends.append(path.stat().st_size)
        if len(ends) == 1:
            path.write_bytes(bytes(20))
        else:
            again.set()

    path.write_bytes(bytes(9))
    limit = FileLimit(path, 10, end, every=0.001)
    path.write_bytes(bytes(10))
    assert again.wait(10.0), "no second end within 10 s although the file has grown"
    limit.end()
    assert ends == [10, 20]
    assert limit.reached


class EndlessGuest:
    """A libvirt connection and its domain, whose console grows by a line for each look at it until it is ended."""

    def __init__(self, console: Path) -> None:
        self.console, self.ended = console, threading.Event()
        self._listen: Callable[[Event], None] = lambda event: None

    def create(self, _xml: str, _uuid: str, listen: Callable[[Event], None]) -> EndlessGuest:
        self._listen = listen
        self.console.write_text("it goes on\n" * 100)
        return self

    def destroy(self) -> None:
        if not self.ended.is_set():
            self.ended.set()
            self._listen(Event.DESTROYED)

    def forget(self, _uuid: str) -> None:
        pass


def test_a_guest_that_prints_without_end_is_ended_and_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOST_CONSOLE", 1000)
    monkeypatch.setattr(file_limit, "EVERY_SECONDS", 0.001)
    guest = EndlessGuest(tmp_path / "console.log")
    spec = DomainSpec("wine--e1000", BootSpec(64), None, "tcg", guest.console)
    with machine.Machine(cast("Connection", guest), spec) as running:
        running.start()
        assert guest.ended.wait(10.0), "the guest was not ended within 10 s"
        running.await_end(10.0)
        with pytest.raises(LabError, match="console of the guest wine--e1000 reached its limit") as caught:
            running.require_running()
        assert "it goes on" in caught.value.detail
        assert "\n" not in caught.value.line()
    with machine.Machine(cast("Connection", guest), spec) as again, pytest.raises(LabError, match="reached its limit"):
        again.start()  # the file has no room for another start


class Raving:
    """A relay in the guest that sends the same four bytes for ever: many short replies, or a long one."""

    def __init__(self, length: int) -> None:
        self.closed = False
        self._word = length.to_bytes(4, "little")

    def read(self, size: int) -> bytes:
        return b"" if self.closed else self._word * (size // 4)

    def write(self, data: bytes) -> int:
        return len(data)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("length", [12, 0xFFFFFFFF], ids=["many", "long"])
def test_a_relay_that_sends_without_end_is_ended(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wskctl, "MOST_UNREAD", 1 << 20)
    relay = Raving(length)
    control = wskctl.WskCtl(relay)
    control._reader.join(10.0)
    assert relay.closed
    assert control._frames.qsize() <= 1 << 20
    monkeypatch.setattr(control, "_frames", queue.Queue())
    control._frames.put(None)
    with pytest.raises(LabError, match="the relay in the guest sent more than 1 MiB"):
        control.info()

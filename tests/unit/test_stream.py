"""A stream to a command in a guest: what it waits for has a deadline, and what comes late can still be read."""

from __future__ import annotations

import threading

import paramiko
import pytest

from harness.control.ssh import Stream
from harness.control.wskctl import WskCtl
from harness.errors import AwaitTimeout
from tests.unit.test_driver_wskctl import Relay, driver


def test_reading_from_a_command_that_says_nothing_ends() -> None:
    channel = paramiko.Channel(1)
    stream = Stream(channel, "quiet.exe", seconds=0.05)
    with pytest.raises(AwaitTimeout, match=r"'quiet\.exe' in the guest to write something"):
        stream.read(10)
    channel.in_buffer.feed(b"late")
    assert stream.read(10) == b"late"
    channel.in_buffer.close()
    assert stream.read(10) == b""


def test_writing_to_a_command_that_reads_nothing_ends() -> None:
    channel = paramiko.Channel(1)
    channel.out_window_size = 0
    channel.active = True
    with pytest.raises(AwaitTimeout, match="to read its input"):
        Stream(channel, "deaf.exe", seconds=0.05).write(b"x")


class Slow(Relay):
    """A relay whose stream gives up waiting whenever nothing is there."""

    def read(self, size: int) -> bytes:
        if not self._left and self._out.empty():
            self.waits += 1
            if self.waits == 3:
                self.waited.set()
            raise AwaitTimeout("the relay to write something", 0.0)
        return super().read(size)

    waits, waited = 0, threading.Event()


def test_a_relay_that_nobody_asks_for_long_is_not_lost() -> None:
    slow = Slow(driver)
    control = WskCtl(slow, deadline=5.0)
    assert slow.waited.wait(10.0)
    assert control.ioctl(7, b"", 0)[0] == driver(7, b"")[0]
    control.close()

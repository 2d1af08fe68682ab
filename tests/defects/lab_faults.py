"""The lab breaks in the middle of a case: whatever that does, the case must be inconclusive.

Each test runs inside a cell's worker and does its damage there; ``harness defects`` judges what the cell says of it.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from harness.api import Wire, Wsk
from harness.files import removal
from harness.selftest.defects.inside import capture, guest_shell, kill, processes


def in_guest(command: str) -> None:
    """Run a command in the guest over a connection of its own, and do not wait for its end."""
    with guest_shell() as shell:
        shell.open_stream(f"linux:{command}")
        time.sleep(1.0)  # what it does cannot be awaited: it may take the guest with it


def fill_the_disk() -> None:
    """Let the capture's file grow no more, as a full disk does."""
    for process in processes("dumpcap"):
        resource.prlimit(process, resource.RLIMIT_FSIZE, (2048, 2048))


def remove_the_folder(wsk: Wsk) -> None:
    """Remove what the cell has written so far: its own folder, which the capture says, and no other."""
    removal.remove(capture(wsk).path.parent)


def set_the_clock(wsk: Wsk) -> None:
    """Let the capture read a wall clock that somebody sets: the host's own is everybody's, so it stays."""
    capture(wsk).clock.wall = lambda: time.time_ns() + 3600 * 10**9


def cut_the_control_network() -> None:
    """Take the control bridge down."""
    subprocess.run(["ip", "link", "set", "ctl0", "down"], check=True)


FAULTS: dict[str, Callable[[Wsk], None]] = {
    "qemu-killed": lambda _: kill("qemu-system"),
    "guest-frozen": lambda _: kill("qemu-system", signal.SIGSTOP),
    "guest-panic": lambda _: in_guest("echo c >/proc/sysrq-trigger"),
    "ssh-cut": lambda _: in_guest("killall -9 dropbear"),
    "control-network-cut": lambda _: cut_the_control_network(),
    "wskctl-killed": lambda _: in_guest("killall -9 wskctl.exe"),
    "dumpcap-killed": lambda _: kill("dumpcap"),
    "disk-full": lambda _: fill_the_disk(),
    "results-folder-gone": remove_the_folder,
    "clock-set": set_the_clock,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(wsk: Wsk, wire: Wire, fault: str) -> None:
    """Sends before and after the damage."""
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"before", wire.peer(9000)))
        FAULTS[fault](wsk)
        for index in range(20):
            wire.expect(sock.send_to(b"after %d" % index, wire.peer(9000)))

"""The lab breaks in the middle of a case: whatever that does, the case must be inconclusive.

Each test runs inside a cell's worker and does its damage there; ``harness defects`` judges what the cell says of it.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.api import Wire, Wsk
from harness.control.ssh import Shell
from harness.lab.network import CONTROL_GUEST
from harness.matrix import catalogue


def processes(program: str) -> list[int]:
    """Ids of the lab's processes of a program; the worker's own PID namespace has no others."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if words and Path(words[0].decode()).name.startswith(program):
                found.append(int(entry.name))
    return found


def kill(program: str, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal every process of a program."""
    for process in processes(program):
        os.kill(process, number)


def in_guest(command: str) -> None:
    """Run a command in the guest over a connection of its own, and do not wait for its end."""
    guest = catalogue.guest("wine", catalogue.prepare_guest("wine", lambda _: None))
    with Shell.connect(str(CONTROL_GUEST), guest.ssh_private_key, guest.host_public_key, 20.0) as shell:
        shell.open_stream(f"linux:{command}")
        time.sleep(1.0)  # what it does cannot be awaited: it may take the guest with it


def fill_the_disk() -> None:
    """Let the capture's file grow no more, as a full disk does."""
    for process in processes("dumpcap"):
        resource.prlimit(process, resource.RLIMIT_FSIZE, (2048, 2048))


def remove_the_folder() -> None:
    """Remove what the cell has written so far."""
    for process in processes("dumpcap"):
        words = (Path("/proc") / str(process) / "cmdline").read_bytes().split(b"\0")
        shutil.rmtree(Path(words[words.index(b"-w") + 1].decode()).parent)


def cut_the_control_network() -> None:
    """Take the control bridge down."""
    subprocess.run(["ip", "link", "set", "ctl0", "down"], check=True)


FAULTS: dict[str, Callable[[], None]] = {
    "qemu-killed": lambda: kill("qemu-system"),
    "guest-frozen": lambda: kill("qemu-system", signal.SIGSTOP),
    "guest-panic": lambda: in_guest("echo c >/proc/sysrq-trigger"),
    "ssh-cut": lambda: in_guest("killall -9 dropbear"),
    "control-network-cut": cut_the_control_network,
    "wskctl-killed": lambda: in_guest("killall -9 wskctl.exe"),
    "dumpcap-killed": lambda: kill("dumpcap"),
    "disk-full": fill_the_disk,
    "results-folder-gone": remove_the_folder,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(wsk: Wsk, wire: Wire, fault: str) -> None:
    """Sends before and after the damage."""
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"before", wire.peer(9000)))
        FAULTS[fault]()
        for index in range(20):
            wire.expect(sock.send_to(b"after %d" % index, wire.peer(9000)))

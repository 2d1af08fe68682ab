"""What the faults of ``tests/defects`` need inside a cell's worker: parts of the session, and the guest's shell."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import cast

from harness.capture.session import CaptureSession
from harness.cell.api import Wsk
from harness.cell.lab import CellLab
from harness.cell.session import Session
from harness.control.ssh import Shell
from harness.guests import catalogue
from harness.lab.network import CONTROL_GUEST, DUT_BRIDGE, SPARE_PORT


def session(wsk: Wsk) -> Session:
    """The session that judges the running case."""
    return cast("Session", wsk._recorder)


def lab(wsk: Wsk) -> CellLab:
    """What the session knows of its lab."""
    return cast("CellLab", session(wsk).lab)


def capture(wsk: Wsk) -> CaptureSession:
    """The session's capture."""
    return cast("CaptureSession", session(wsk)._capture)


def guest_shell() -> Shell:
    """A connection to the guest beside the session's own; a command "linux:..." is for the system below Windows.

    Raises:
        LabError: the guest does not answer.
    """
    guest = catalogue.guest("wine", catalogue.prepare_guest("wine", lambda _: None))
    return Shell.connect(str(CONTROL_GUEST), guest.ssh_private_key, guest.host_public_key, 20.0)


def tap() -> str:
    """The guest's interface on the DUT bridge."""
    ports = {path.name for path in Path(f"/sys/class/net/{DUT_BRIDGE}/brif").iterdir()}
    return (ports - {SPARE_PORT}).pop()


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

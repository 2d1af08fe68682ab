"""Runs a command and measures it: CPU seconds, wall-clock seconds, greatest resident size of it and its children."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BYTECODE = Path(tempfile.gettempdir()) / f"harness-bench-bytecode-{os.getuid()}"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command cost.

    Args:
        cpu: user and system seconds, children included.
        wall: seconds from start to end.
        resident_mb: greatest resident size, 10^6 bytes.
        output: its standard output.
    """

    cpu: float
    wall: float
    resident_mb: float
    output: str


def measure(command: Sequence[str], *, keep: bool = True) -> Measured:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed.
    """
    # As installed: with compiled bytecode, whatever the shell says about writing it.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(_BYTECODE)
    start = time.monotonic()
    before = os.times()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE if keep else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    output = process.stdout.read() if process.stdout is not None else b""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    after = os.times()
    if process.returncode:
        raise RuntimeError(f"{command[0]} {command[1]} ended with {process.returncode}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(cpu, time.monotonic() - start, usage.ru_maxrss * 1024 / 1e6, output.decode(errors="replace"))


def harness(*arguments: str) -> list[str]:
    """A command of the harness."""
    return [sys.executable, "-m", "harness", *arguments]

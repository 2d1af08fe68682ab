"""Asks a Windows guest what it knows of its crashes, and fetches the dump.

Every question is PowerShell over the guest's shell; nothing here has met a real Windows yet.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.errors import LabError
from harness.files import removal
from harness.guests.base import Shell
from harness.guests.windows import powershell
from harness.guests.windows.crash import bugcheck
from harness.guests.windows.crash.bugcheck import Bugcheck

PACKED = "C:/harness/dump.tgz"


class FileShell(Shell, Protocol):
    """A shell that can also read files of the guest."""

    def fetch(self, remote: str, local: Path) -> None:
        """Copy a file of the guest, of any size, to the host."""


@dataclass(frozen=True, slots=True)
class DumpFile:
    """A dump in the guest: path, bytes, time of writing (UTC, ISO 8601)."""

    path: str
    size: int
    time: str


@dataclass(frozen=True, slots=True)
class EventLog:
    """What the System log says of how the boot before ended.

    Args:
        bugchecks: stop codes, oldest first, each once.
        dump_saved: event 1001 is there, which Windows writes after the dump.
        restarted: event 41 is there: Windows knows that it went down without being shut down.
    """

    bugchecks: tuple[Bugcheck, ...] = ()
    dump_saved: bool = False
    restarted: bool = False


def boot_identity(shell: Shell, timeout: float = 60.0) -> str:
    """When the guest was booted, as it says itself: equal means that it has not restarted."""
    return _ask(shell, powershell.load("boot"), timeout).strip()


def events_since(shell: Shell, since: str, timeout: float = 120.0) -> EventLog:
    """What the System log says from a time on (UTC, ISO 8601).

    A crash is logged by the boot after it: asked since that boot, the log tells of no earlier crash.
    """
    answer = _ask(shell, powershell.load("bugchecks", Since=since), timeout)
    events = sorted(powershell.objects(answer), key=lambda event: str(event.get("time", "")))
    found: list[Bugcheck] = []
    for event in events:
        if event.get("id") == 1001:
            decoded = bugcheck.from_text(str(event.get("text", "")))
        else:
            data = event.get("data")
            decoded = bugcheck.from_power_event(data if isinstance(data, dict) else {})
        if decoded is not None and decoded not in found:
            found.append(decoded)
    numbers = {event.get("id") for event in events}
    return EventLog(tuple(found), dump_saved=1001 in numbers, restarted=41 in numbers)


def dumps_since(shell: Shell, since: str, timeout: float = 60.0) -> list[DumpFile]:
    """Dumps written from a time on."""
    rows = powershell.objects(_ask(shell, powershell.load("dumps", Since=since), timeout))
    return [DumpFile(str(row["path"]), int(row["size"]), str(row["time"])) for row in rows]


def fetch_dump(shell: FileShell, dump: DumpFile, folder: Path, timeout: float = 900.0) -> Path:
    """Pack a dump in the guest, bring it to the host, and delete the packed copy there.

    Raises:
        LabError: the guest cannot pack it, or it did not arrive.
    """
    parent, _, name = dump.path.replace("/", "\\").rpartition("\\")
    packed = PACKED.replace("/", "\\")
    result = shell.run(f"tar.exe -czf {packed} -C {parent} {name}", timeout)
    if result.exit_code:
        raise LabError(f"the guest cannot pack {dump.path}: {result.stderr.strip() or result.stdout.strip()}")
    folder.mkdir(parents=True, exist_ok=True)
    arriving = folder / f".{Path(name).stem}.tgz"
    try:
        shell.fetch(PACKED, arriving)
        with arriving.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        target = removal.replace(arriving, folder / f"{Path(name).stem}-{digest[:8]}.tgz")
    finally:
        removal.remove(arriving)
        shell.run(f"del {packed}", timeout)
    return target


def _ask(shell: Shell, script: str, timeout: float) -> str:
    result = shell.run(powershell.command(script), timeout)
    if result.exit_code:
        raise LabError("the guest does not tell of its crashes", detail=f"{result.stdout}\n{result.stderr}".strip())
    return result.stdout

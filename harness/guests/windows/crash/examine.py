"""After a guest went away: waits until it is back, asks it what happened, fetches the dump, and gives one answer.

A guest that does not come back is dumped from the host, where libvirt and QEMU can (``win-dmp``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.errors import HarnessError
from harness.guests.windows.crash import bugcheck, collect
from harness.guests.windows.crash.bugcheck import Bugcheck
from harness.guests.windows.crash.detect import Evidence, Kind, judge
from harness.guests.windows.crash.fingerprint import Fingerprint, fingerprint

SETTLE_SECONDS = 300.0
"""How long Windows may take, once SSH answers again, to save its dump and to log the crash."""
_BETWEEN_LOOKS_SECONDS = 5.0
_LIVE_SYSTEM_DUMP = 0x161  # what QEMU writes as the stop code of a Windows that has not stopped


class Closing(collect.FileShell, Protocol):
    """A shell that is closed after use."""

    def close(self) -> None:
        """End the connection."""


@dataclass(frozen=True, slots=True)
class Crash:
    """What became of a guest.

    Args:
        kind: how it went away.
        bugcheck: its stop code, when it had one.
        fingerprint: equal for crashes of one kind.
        dump: the dump on the host, packed when the guest wrote it.
        note: what was in the way of knowing more.
        back: the guest answers again.
    """

    kind: Kind
    bugcheck: Bugcheck | None = None
    fingerprint: Fingerprint | None = None
    dump: Path | None = None
    note: str = ""
    back: bool = True

    @property
    def proven(self) -> bool:
        """Whether the kernel stopped, by its own or the machine's word; anything else may be the lab's doing."""
        return self.kind in (Kind.CRASHED, Kind.DUMPING)

    def line(self) -> str:
        """One line for a report."""
        what = f": {self.bugcheck}" if self.bugcheck else ""
        where = f"; dump {self.dump.parent.name}/{self.dump.name}" if self.dump else ""
        return f"the guest {self.kind}{what}{where}{f' ({self.note})' if self.note else ''}"


def examine(
    before: str,
    notices: Sequence[str],
    connect: Callable[[], Closing],
    folder: Path,
    *,
    dump_from_host: Callable[[Path], None] | None = None,
    known: Collection[str] = (),
    settle: float = SETTLE_SECONDS,
) -> Crash:
    """Find out what became of a guest whose connection was lost.

    Args:
        before: its boot identity while all was well; empty when it is not known.
        notices: the machine's crash notices, "crashloaded" or "panicked".
        connect: logs in, waiting for as long as a crash dump and a boot take.
        folder: takes the dump.
        dump_from_host: writes the guest's memory as a Windows dump; asked when the guest does not come back.
        known: keys of fingerprints whose dump was fetched before: another of the same is left where it is.
        settle: seconds that the guest may take to log its crash after it is back.
    """
    try:
        shell = connect()
    except HarnessError as error:
        return _from_outside(before, notices, error.what, folder, dump_from_host)
    with contextlib.closing(shell):
        try:
            after = collect.boot_identity(shell)
            log, dumps = _logged(shell, after, settle, notices) if after != before else (collect.EventLog(), [])
        except HarnessError as error:
            return Crash(judge(Evidence(notices, before)), note=error.what)
        last = log.bugchecks[-1] if log.bugchecks else None
        kind = judge(Evidence(notices, before, after, last, bool(dumps)))
        sign = fingerprint(last) if last else None
        dump, note = None, ""
        if sign is not None and sign.key in known:
            note = "its dump is that of the first of these crashes"
        elif dumps:
            try:
                dump = collect.fetch_dump(shell, dumps[-1], folder)
            except HarnessError as error:
                note = error.what
        elif kind is Kind.CRASHED:
            note = "no dump was written"
    return Crash(kind, last, sign, dump, note)


def _logged(
    shell: collect.FileShell, after: str, settle: float, notices: Sequence[str]
) -> tuple[collect.EventLog, list[collect.DumpFile]]:
    """The log of the boot that followed, and the dumps, once Windows has written what it is going to write."""
    deadline = time.monotonic() + settle
    while True:
        log = collect.events_since(shell, after)
        clean = log.restarted and not log.bugchecks and not notices  # a reset, or a power cut: nothing else will come
        if log.dump_saved or clean or time.monotonic() > deadline:
            return log, collect.dumps_since(shell, after)
        time.sleep(min(_BETWEEN_LOOKS_SECONDS, settle))  # the log offers no event to a connection that comes and goes


def _from_outside(
    before: str, notices: Sequence[str], reason: str, folder: Path, dump: Callable[[Path], None] | None
) -> Crash:
    """What can be said of a guest that does not come back."""
    note = f"it did not come back: {reason}"
    found: Bugcheck | None = None
    path: Path | None = None
    if dump is not None:
        target = folder / f"host-{sum(1 for _ in folder.glob('host-*.dmp')) + 1}.dmp"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            dump(target)
            with target.open("rb") as file:
                head = file.read(bugcheck.DUMP_HEADER_BYTES)
            found, path = bugcheck.from_dump(head), target
        except (HarnessError, OSError) as error:
            note += f"; no dump from the host: {error.what if isinstance(error, HarnessError) else error.strerror}"
        if found is not None and found.code == _LIVE_SYSTEM_DUMP:
            found = None
    kind = judge(Evidence(notices, before, bugcheck=found, reachable=False))
    return Crash(kind, found, fingerprint(found) if found else None, path, note, back=False)

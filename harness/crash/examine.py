"""After a guest went away: waits until it is back, asks it what happened, fetches the dump, and gives one answer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.crash import collect
from harness.crash.bugcheck import Bugcheck
from harness.crash.detect import Evidence, Kind, judge
from harness.crash.fingerprint import Fingerprint, fingerprint
from harness.errors import HarnessError


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
        dump: the packed dump on the host.
        note: what was in the way of knowing more.
    """

    kind: Kind
    bugcheck: Bugcheck | None = None
    fingerprint: Fingerprint | None = None
    dump: Path | None = None
    note: str = ""

    def line(self) -> str:
        """One line for a report."""
        what = f": {self.bugcheck}" if self.bugcheck else ""
        where = f"; dump {self.dump}" if self.dump else ""
        return f"the guest {self.kind}{what}{where}{f' ({self.note})' if self.note else ''}"


def examine(before: str, notices: Sequence[str], connect: Callable[[], Closing], folder: Path) -> Crash:
    """Find out what became of a guest whose connection was lost.

    Args:
        before: its boot identity while all was well.
        notices: the machine's crash notices, "crashloaded" or "panicked".
        connect: logs in, waiting for as long as a crash dump and a boot take.
        folder: takes the dump.
    """
    try:
        shell = connect()
    except HarnessError as error:
        kind = judge(Evidence(notices=notices, boot_before=before, reachable=False))
        return Crash(kind, note=f"it did not come back: {error.what}")
    with contextlib.closing(shell):
        try:
            after = collect.boot_identity(shell)
            bugchecks = collect.bugchecks_since(shell, before) if after != before else []
            dumps = collect.dumps_since(shell, before) if after != before else []
        except HarnessError as error:
            return Crash(Kind.RESTARTED, note=error.what)
        last = bugchecks[-1] if bugchecks else None
        kind = judge(Evidence(notices, before, after, last, bool(dumps)))
        dump, note = None, ""
        if dumps:
            try:
                dump = collect.fetch_dump(shell, dumps[-1], folder)
            except HarnessError as error:
                note = error.what
    return Crash(kind, last, fingerprint(last) if last else None, dump, note)

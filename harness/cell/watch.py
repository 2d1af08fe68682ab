"""What a session asks of a driver beyond its calls: findings, whether it is past answering, to be renewed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.guests.windows.crash.examine import Crash
from harness.verify.verdict import Finding, Verdict


class Watch(Protocol):
    """The watcher's side of a driver under test."""

    @property
    def broken(self) -> bool:
        """Whether the driver faulted, hangs or is otherwise past answering: nothing more may be asked of it."""

    def findings(self) -> Sequence[Finding]:
        """What the verifier found since the last call; nothing where there is no verifier."""

    def renew(self) -> None:
        """Give the guest a working driver again, after ``broken``. Raises LabError when that cannot be done."""


class Unwatched:
    """The watch of a driver that nobody watches."""

    broken = False

    def findings(self) -> Sequence[Finding]:
        """None."""
        return ()

    def renew(self) -> None:
        """Nothing to do."""


class Keeper(Protocol):
    """What a session asks of the guest that its driver runs in."""

    @property
    def noticed(self) -> bool:
        """Whether the machine has said that the guest crashed; costs nothing."""

    def crash(self) -> Crash | None:
        """How the guest went away, once it is back or given up; ``None`` when it runs, or did not crash by itself."""

    def renew(self) -> None:
        """Bring the guest up again with a working driver. Raises HarnessError when that cannot be done."""


class Unkept:
    """The keeper of a guest that does not come back: what became of it is told by the way to it."""

    noticed = False

    def crash(self) -> None:
        """None that anybody could tell."""

    def renew(self) -> None:
        """Nothing to do."""


def crashed(crash: Crash) -> Finding:
    """The crash as a finding, whose field is the same for equal crashes from night to night."""
    sign = crash.fingerprint
    detail = f"fingerprint {sign.key}; {crash.line()}" if sign else crash.line()
    seen = str(crash.bugcheck) if crash.bugcheck else str(crash.kind)
    return Finding(
        Verdict.CRASH, None, None, sign.text if sign else "without a stop code", "Windows to run on", seen, detail
    )

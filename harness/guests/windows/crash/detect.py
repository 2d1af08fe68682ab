"""Did the guest crash? Decides from what the host saw and what the guest says after it is back: pure.

Order of trust: the machine's own crash notice (pvpanic), a bugcheck in the guest's event log, a dump newer than the
boot before, a boot identity that changed although nobody asked for a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.guests.windows.crash.bugcheck import Bugcheck


class Kind(StrEnum):
    """How a guest went away."""

    NONE = "running"
    DUMPING = "crashed and writing its dump"
    CRASHED = "crashed"
    RESTARTED = "restarted without a bugcheck"
    GONE = "gone without a trace"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known.

    Args:
        notices: details of libvirt's crash events, "crashloaded" or "panicked", in order.
        boot_before, boot_after: boot identities; ``boot_after`` is empty while the guest does not answer.
        bugcheck: from the event log, the dump or QEMU's log.
        dump: a dump of after ``boot_before`` is there.
        reachable: SSH answers.
        expected_restart: the harness itself asked for a restart.
    """

    notices: Sequence[str] = ()
    boot_before: str = ""
    boot_after: str = ""
    bugcheck: Bugcheck | None = None
    dump: bool = False
    reachable: bool = True
    expected_restart: bool = False


def judge(evidence: Evidence) -> Kind:
    """What became of the guest."""
    if evidence.bugcheck is not None or evidence.dump or "panicked" in evidence.notices:
        return Kind.CRASHED
    if "crashloaded" in evidence.notices:
        return Kind.CRASHED if evidence.boot_after not in ("", evidence.boot_before) else Kind.DUMPING
    changed = bool(evidence.boot_before and evidence.boot_after) and evidence.boot_before != evidence.boot_after
    if changed:
        return Kind.NONE if evidence.expected_restart else Kind.RESTARTED
    return Kind.NONE if evidence.reachable else Kind.GONE

"""The faults of wire and lab as ``harness defects`` runs them, each as a cell of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.defects.judge import Row, named
from harness.report.results import CellResult
from harness.report.status import Status

if TYPE_CHECKING:
    from harness.defects.run import Runner

CASE = "test_destination.py::test_explicit_address[ipv4]"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of wire or lab.

    Args:
        id: its name.
        group: "W" or "L".
        what: what breaks.
        case: the test of ``tests/defects`` that breaks it.
        expects: as of a defect; empty: the case must be inconclusive.
        memory_mib: guest memory, where that is what breaks.
        short: belongs to the short choice.
    """

    id: str
    group: str
    what: str
    case: str
    expects: tuple[str, ...] = ()
    memory_mib: int | None = None
    short: bool = False


def _wire(name: str, what: str, *expects: str, case: str = "", short: bool = False) -> Fault:
    return Fault(name, "W", what, f"wire_faults.py::{case or f'test_fault[{name}]'}", expects, short=short)


def _lab(name: str, what: str, *, short: bool = False) -> Fault:
    return Fault(name, "L", what, f"lab_faults.py::test_fault[{name}]", short=short)


FAULTS = (
    _wire("loss", "one frame in three is lost", "missing:datagram", short=True),
    _wire("duplication", "one frame in three comes twice", "duplicated:datagram"),
    _wire("reordering", "one frame in three is overtaken", "reordered:datagram", "reordered:order"),
    _wire("delay", "frames come after the case has waited for them", "missing:datagram"),
    _wire("bit-errors", "one bit of a frame in three changes", "altered:udp", "altered:ip", "unexpected:frame"),
    _wire("truncation", "a frame in three loses its end", "altered:ip", "altered:udp", "unexpected:frame"),
    _wire("wrong-vlan", "frames carry the tag of another VLAN", "missing:datagram", "unexpected:frame"),
    _wire("nic-unplugged", "the guest's cable leads nowhere", "missing:datagram", case="test_nic_unplugged"),
    _wire("second-sender", "another machine sends with the guest's addresses", "unexpected:datagram",
          case="test_second_sender"),
    _lab("qemu-killed", "QEMU is killed", short=True),
    _lab("guest-frozen", "QEMU is stopped"),
    _lab("guest-panic", "the guest's kernel panics"),
    _lab("ssh-cut", "the guest's SSH server is killed"),
    _lab("control-network-cut", "the control bridge goes down"),
    _lab("wskctl-killed", "the relay in the guest is killed"),
    _lab("dumpcap-killed", "the capture is killed"),
    _lab("disk-full", "the capture's file can grow no more"),
    _lab("results-folder-gone", "the cell's folder is removed"),
    Fault("libvirt-error", "L", "libvirt fails in the middle of a start (more memory than there is)", CASE,
          memory_mib=1 << 24),
)  # fmt: skip


def chosen(only: str = "", *, short: bool = False) -> tuple[Fault, ...]:
    """Those of a group or id; all when neither is asked."""
    return tuple(
        fault for fault in FAULTS if (not only or only in (fault.group, fault.id)) and (fault.short or not short)
    )


def run(fault: Fault, runner: Runner) -> Row:
    """Run and judge one fault, on the clean driver."""
    started = time.monotonic()
    job = runner.job(fault.id, runner.driver, (fault.case,), memory_mib=fault.memory_mib)
    row = judge(fault, runner.cell(job), time.monotonic() - started)
    runner.tell(row)
    return row


def judge(fault: Fault, result: CellResult, seconds: float) -> Row:
    """The row of a fault: named as what it is, or inconclusive where the lab broke."""
    took = round(seconds, 1)
    case = result.cases[0] if result.cases else None
    status = case.status if case is not None else result.status
    reason = (case.reason if case is not None else "") or result.reason
    if not fault.expects:
        good = {each.status for each in result.cases} <= {Status.INCONCLUSIVE} and result.status is Status.INCONCLUSIVE
        why = "" if good else f"{status}, not inconclusive"
        return Row(
            fault.id, fault.group, fault.what, "inconclusive", f"{status}: {reason}", fault.case, took, good, why
        )
    verdict, where = named(fault.expects, [case] if case is not None else [])
    expected = " or ".join(fault.expects)
    if verdict:
        return Row(fault.id, fault.group, fault.what, expected, verdict, where, took, caught=True)
    findings = case.findings if case is not None else ()
    seen = ", ".join(dict.fromkeys(f"{finding.verdict}:{finding.field}" for finding in findings)) or reason
    return Row(fault.id, fault.group, fault.what, expected, seen, fault.case, took, caught=False, why=str(status))

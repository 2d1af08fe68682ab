"""The faults of wire and lab as ``harness defects`` runs them, each as a cell of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cell.events import Phase
from harness.cell.job import Cell
from harness.results.record import CaseResult, CellResult
from harness.results.status import Status
from harness.selftest.defects.judge import Row, named

if TYPE_CHECKING:
    from harness.selftest.defects.run import Runner

CASE = "test_destination.py::test_explicit_address[ipv4]"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of wire or lab.

    Args:
        id: its name.
        group: "W" for the wire, "S" for a guest that sends what is not its own to send, "L" for the lab.
        what: what breaks.
        case: the test of ``tests/defects`` that breaks it.
        expects: what must name it, any of them, as of a defect.
        inconclusive: the lab was wrong, so no case may have passed or failed; else each must have failed.
        nic: of the cell.
        memory_mib: guest memory, where that is what breaks.
        deaf: boots a guest that no DHCP server answers.
    """

    id: str
    group: str
    what: str
    case: str
    expects: tuple[str, ...]
    inconclusive: bool = True
    nic: str = "virtio-net"
    memory_mib: int | None = None
    deaf: bool = False


def _relay(name: str, what: str, *expects: str) -> Fault:
    return Fault(name, "W", what, f"wire_faults.py::test_fault[{name}]", expects, inconclusive=False)


def _sender(name: str, what: str, expects: str = "unexpected:frame") -> Fault:
    return Fault(name, "S", what, f"wire_faults.py::test_fault[{name}]", (expects,), inconclusive=False)


def _wire(name: str, what: str, test: str, *expects: str, inconclusive: bool = True, **more: Any) -> Fault:  # noqa: ANN401
    return Fault(name, "W", what, f"wire_faults.py::{test}", expects, inconclusive, **more)


def _lab(name: str, what: str, reason: str) -> Fault:
    return Fault(name, "L", what, f"lab_faults.py::test_fault[{name}]", (f"reason:{reason}",))


def _ledger(name: str, what: str, expects: str) -> Fault:
    case = f"ledger_cases.py::test_{name}"
    return Fault(f"test-{name.replace('_', '-')}", "T", what, case, (expects,), inconclusive=False)


FAULTS = (
    _relay("loss", "one frame in three is lost", "missing:datagram"),
    _relay("duplication", "one frame in three comes twice", "duplicated:datagram"),
    _relay("reordering", "one frame in three is overtaken", "reordered:order"),
    _wire("delay", "frames come when their case has ended", "test_delay", "unexpected:datagram.late",
          inconclusive=False),
    _relay("bit-errors", "one bit of a frame in three changes", "altered:udp", "altered:ip"),
    _relay("truncation", "a frame in three loses its end", "altered:ip.length"),
    _relay("wrong-vlan", "frames carry the tag of another VLAN", "altered:eth.vlan"),
    _wire("offload-on", "checksums are left to hardware that is not there", "test_fault[offload-on]",
          "offload:udp.checksum", nic="e1000"),
    _wire("nic-unplugged", "the guest's cable leads nowhere for a while", "test_nic_unplugged",
          "reason:was taken off dut0"),
    _wire("link-down", "the guest's NIC loses its link", "test_link_down",
          "reason:the link of the NIC under test is down"),
    _wire("second-sender", "another machine sends with the guest's MAC and address", "test_second_sender[guests-mac]",
          "reason:a stranger on dut0-port sends with the MAC of the NIC under test"),
    _wire("second-address", "another machine sends with the guest's address", "test_second_sender[own-mac]",
          "reason:from the unknown MAC 02:00:00:00:00:99", inconclusive=False),
    _wire("late-capture", "the live capture sees nothing of the first sends", "test_late_capture",
          "reason:frames only in the record"),
    _wire("lossy-capture", "the capture's buffer overflows", "test_lossy_capture", "reason:the capture lost"),
    _wire("silent-neighbour", "a host peer does not say its MAC", "test_silent_neighbour",
          "reason:the host peer 192.0.2.3 never answered"),
    _sender("as-host", "the guest sends with the host's MAC", "unexpected:datagram"),
    _sender("marker-type", "the guest sends frames of the markers' EtherType"),
    _sender("forged-marker", "the guest forges end markers"),
    _sender("arp-payload", "the guest sends 200 bytes behind its ARP"),
    _sender("tcp-payload", "the guest sends 200 bytes by TCP"),
    _sender("eapol-payload", "the guest sends 200 bytes by EAPOL"),
    _sender("reserved-lldp", "the guest sends to an address that a bridge need not forward"),
    _sender("reserved-pause", "the guest sends to an address that no bridge forwards"),
    _lab("qemu-killed", "QEMU is killed", "QEMU failed"),
    _lab("guest-frozen", "QEMU is stopped", "cannot read C:/harness/verifier.log in the guest"),
    _lab("guest-panic", "the guest's kernel panics", "the guest panicked: Kernel panic"),
    _lab("ssh-cut", "the guest's SSH server is killed", "the SSH connection to the guest broke"),
    _lab("control-network-cut", "the control bridge goes down", "ctl0 went down"),
    _lab("wskctl-killed", "the relay in the guest is killed", "wskctl.exe serve' ended in the guest"),
    _lab("dumpcap-killed", "the capture is killed", "the capture (dumpcap) ended by itself"),
    _lab("disk-full", "the capture's file can grow no more", "dumpcap"),
    _lab("results-folder-gone", "the cell's folder is removed", "cannot watch"),
    _lab("clock-set", "the host's clock is set", "the host's clock was set by +3600 s"),
    _ledger("pytest_fail", "a test calls pytest.fail", "reason:Failed: not what it should be"),
    _ledger("exit", "a test calls sys.exit", "reason:SystemExit: 0"),
    _ledger("text", "an error of a test has no text", "reason:_OddError: its text cannot be read"),
    _ledger("surrogate", "an error's text is no UTF-8", "reason:ValueError: cannot open caf"),
    _ledger("strict", "a test passes that a strict mark says fails", "reason:[XPASS(strict)] known"),
    _ledger("teardown", "a fixture's teardown sends what it must not", "unexpected:wire"),
    _ledger("hang", "a test never ends", "reason:the test did not end within 2 s"),
    _ledger("thread", "a thread of a test goes on sending after its end", "reason:threads of the test go on after"),
    Fault("libvirt-error", "L", "libvirt fails in the middle of a start (more memory than there is)", CASE,
          ("reason:libvirt could not start the guest",), memory_mib=1 << 24),
    Fault("dhcp-dead", "L", "the DHCP server is killed while the guest boots", CASE,
          ("reason:the DHCP server (dnsmasq) ended by itself",), deaf=True),
)  # fmt: skip


def chosen(only: str = "") -> tuple[Fault, ...]:
    """Those of a group or id; all when neither is asked."""
    return tuple(fault for fault in FAULTS if (not only or only in (fault.group, fault.id)))


def run(fault: Fault, runner: Runner) -> Row:
    """Run and judge one fault, on the clean driver."""
    started = time.monotonic()
    more: dict[str, Any] = {"nic": fault.nic, "memory_mib": fault.memory_mib, "cold": fault.deaf}
    job = runner.job(fault.id, runner.driver, (fault.case,), **more)

    def watch(_cell: Cell, event: object) -> None:
        if fault.deaf and isinstance(event, Phase) and event.name == "boot" and event.seconds is None:
            kill_writer(job.folder / "dhcp.log")

    result = runner.cell(job, watch)
    row = runner.agreeing(judge(fault, result, time.monotonic() - started), job, result)
    runner.tell(row)
    return row


def kill_writer(log: Path) -> None:
    """Kill every process that has ``log`` open."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and any(opened.readlink() == log for opened in (entry / "fd").iterdir()):
                os.kill(int(entry.name), signal.SIGKILL)


def judge(fault: Fault, result: CellResult, seconds: float) -> Row:
    """The row of a fault: named as what it is, and of the class that it belongs to."""
    wanted = Status.INCONCLUSIVE if fault.inconclusive else Status.FAILED
    whole = CaseResult("the start", result.status, result.reason)
    verdict, where = named(fault.expects, result.cases or (whole,))
    statuses = {case.status for case in result.cases} | {result.status}
    why = ""
    if statuses != {wanted}:
        why = f"{', '.join(sorted(statuses))}, not {wanted}"
    elif not verdict:
        why = "named wrongly"
    case = result.cases[0] if result.cases else whole
    kinds = dict.fromkeys(f"{finding.verdict}:{finding.field}" for finding in case.findings)
    seen = verdict if verdict and not fault.inconclusive else f"{case.status}: {case.reason or ', '.join(kinds)}"
    expected = " or ".join(fault.expects)
    expected = f"inconclusive, {expected}" if fault.inconclusive else expected
    row = (fault.id, fault.group, fault.what, expected, seen, where or fault.case, round(seconds, 1))
    return Row(*row, caught=not why, why=why)

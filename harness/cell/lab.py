"""What the lab knows at the end of each case: its own faults, and frames of the guest that no capture shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol
from xml.etree import ElementTree as ET

from harness.errors import LabError
from harness.lab.disturbance import Disturbances
from harness.lab.network import DUT_NIC_MAC
from harness.lab.reserved import ReservedFrames
from harness.model.addresses import mac_text
from harness.verify.verdict import CaseVerdict, Finding, Status, Verdict
from harness.vm.machine import Machine

_MOST_TOLD = 16
_PANIC = re.compile(r"Kernel panic - not syncing: [^\r\n]*")


class Lab(Protocol):
    """The lab's side of a session."""

    def disturbed(self) -> Sequence[str]:
        """What happened to it since the last call, in words; cheap, for it is asked at the end of every case."""

    def broken(self) -> Sequence[str]:
        """What is wrong with it now, in words; asked when a case has nothing to show for itself."""

    def unforwarded(self) -> Sequence[Finding]:
        """The guest's frames since the last call that the bridge did not forward, so that no capture shows them."""


class Unknown:
    """A lab of which nothing is known."""

    def disturbed(self) -> Sequence[str]:
        """Nothing."""
        return ()

    def broken(self) -> Sequence[str]:
        """Nothing."""
        return ()

    def unforwarded(self) -> Sequence[Finding]:
        """None."""
        return ()


class CellLab:
    """The lab of a cell.

    Args:
        machine: the guest, started.
        disturbances: of its taps and bridges.
        reserved: frames that the ports of the DUT bridge receive and do not forward.
    """

    def __init__(self, machine: Machine, disturbances: Disturbances, reserved: ReservedFrames) -> None:
        self.machine = machine
        self.disturbances = disturbances
        self._reserved = reserved
        reserved.take()  # what came before belongs to no case

    def disturbed(self) -> Sequence[str]:
        """What happened to taps and bridges."""
        self._reserved.note()
        return self.disturbances.told()

    def unforwarded(self) -> Sequence[Finding]:
        """A finding for each frame, as for any other that nobody predicted."""
        return [
            Finding(
                Verdict.UNEXPECTED,
                None,
                None,
                "frame",
                "nothing",
                f"{len(frame)} bytes of type 0x{frame[12:14].hex()} to {mac_text(frame[:6])}",
                f"{port} received it; a bridge does not forward it, so the record does not hold it",
            )
            for port, frame in self._reserved.take()[:_MOST_TOLD]
        ]

    def broken(self) -> Sequence[str]:
        """Whether the guest has ended or panicked, or its NIC under test has no link."""
        try:
            if found := _PANIC.search(self.machine.console()):
                return (f"the guest panicked: {found[0]}",)
            self.machine.require_running()
            if DUT_NIC_MAC in cut_links(self.machine.xml()):
                return ("the link of the NIC under test is down",)
        except LabError as error:
            return (error.what,)
        return ()


def cut_links(domain_xml: str) -> list[str]:
    """MACs of the domain's interfaces whose link libvirt has taken down."""
    found = []
    for interface in ET.fromstring(domain_xml).iter("interface"):
        link, mac = interface.find("link"), interface.find("mac")
        if link is not None and mac is not None and link.get("state") == "down":
            found.append(mac.get("address", ""))
    return found


def taps(domain_xml: str) -> dict[str, tuple[str, str]]:
    """By MAC the names of each interface on the host and of the bridge that it is a port of."""
    found = {}
    for interface in ET.fromstring(domain_xml).iter("interface"):
        parts = {part.tag: part for part in interface if part.tag in ("mac", "target", "source")}
        if len(parts) == 3:
            name, bridge = parts["target"].get("dev", ""), parts["source"].get("bridge", "")
            found[parts["mac"].get("address", "")] = (name, bridge)
    return found


def unvouched(verdict: CaseVerdict) -> bool:
    """Whether a case has nothing seen to vouch for it, so that a broken lab may be the cause of all that is said."""
    return verdict.status is Status.FAILED or (verdict.status is Status.PASSED and not verdict.counts.matched)

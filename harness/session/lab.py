"""What the lab knows of its own faults: asked at the end of each case, so that no driver is blamed for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol
from xml.etree import ElementTree as ET

from harness.errors import LabError
from harness.lab.disturbance import Disturbances
from harness.lab.network import DUT_NIC_MAC
from harness.verify.verdict import CaseVerdict, Status
from harness.vm.machine import Machine

_PANIC = re.compile(r"Kernel panic - not syncing: [^\r\n]*")


class Lab(Protocol):
    """The lab's side of a session."""

    def disturbed(self) -> Sequence[str]:
        """What happened to it since the last call, in words; cheap, for it is asked at the end of every case."""

    def broken(self) -> Sequence[str]:
        """What is wrong with it now, in words; asked when a case has nothing to show for itself."""


class Unknown:
    """A lab of which nothing is known."""

    def disturbed(self) -> Sequence[str]:
        """Nothing."""
        return ()

    def broken(self) -> Sequence[str]:
        """Nothing."""
        return ()


class CellLab:
    """The lab of a cell.

    Args:
        machine: the guest, started.
        disturbances: of its taps and bridges.
    """

    def __init__(self, machine: Machine, disturbances: Disturbances) -> None:
        self.machine = machine
        self.disturbances = disturbances

    def disturbed(self) -> Sequence[str]:
        """What happened to taps and bridges."""
        return self.disturbances.told()

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

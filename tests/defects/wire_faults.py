"""The wire between guest and bridge harms frames: the verdict must name what it did, as far as a capture can know it.

Each test runs inside a cell's worker and puts its fault there; ``harness defects`` judges what the cell says of it.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree as ET

import pytest

from harness.api import Wire, Wsk, pattern
from harness.lab.network import DUT_BRIDGE, DUT_NIC_MAC, SPARE_END
from harness.selftest.defects.inside import capture, guest_shell, lab, tap
from harness.selftest.defects.relay import FAULTS, relay

SEED = 5
_ATTACH_FILTER, _DETACH_FILTER = 26, 27  # of <asm-generic/socket.h>
_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)  # a filter of one instruction: keep no byte of any frame


def twenty_sends(wsk: Wsk, wire: Wire, first: int = 0) -> None:
    """Enough datagrams for one in three to be harmed."""
    with wsk.datagram_socket() as sock:
        for index in range(first, first + 20):
            wire.expect(sock.send_to(pattern(100 + index, index), wire.peer(9000)))


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(wsk: Wsk, wire: Wire, fault: str) -> None:
    """Frames pass through the relay."""
    with relay(DUT_BRIDGE, tap(), FAULTS[fault], SEED, lab(wsk).disturbed):
        twenty_sends(wsk, wire)
        threading.Event().wait(0.5)  # for what the relay holds back


def test_delay(wsk: Wsk) -> None:
    """Frames come when the case that waits for them has ended: the next one sees them, and knows whose they were."""
    with relay(DUT_BRIDGE, tap(), FAULTS["delay"], SEED, lab(wsk).disturbed):
        assert "nothing" in wsk.trial(twenty_sends)
        threading.Event().wait(3.5)  # for what the relay holds back


@contextmanager
def unplugged() -> Iterator[None]:
    """The tap is no port of the bridge while the context lasts."""
    name = tap()
    subprocess.run(["ip", "link", "set", name, "nomaster"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "link", "set", name, "master", DUT_BRIDGE], check=True)


def test_nic_unplugged(wsk: Wsk, wire: Wire) -> None:
    """The guest's cable leads nowhere, and is plugged in again before anybody looks."""
    with unplugged():
        twenty_sends(wsk, wire)


def test_link_down(wsk: Wsk, wire: Wire) -> None:
    """The guest's NIC has no link: QEMU's set_link, by libvirt."""
    machine = lab(wsk).machine
    domain = ET.fromstring(machine.xml())
    nic = next(each for each in domain.iter("interface") if each.find(f"mac[@address='{DUT_NIC_MAC}']") is not None)
    ET.SubElement(nic, "link", state="down")
    machine.domain.change(ET.tostring(nic, encoding="unicode"))
    twenty_sends(wsk, wire)


def ipv4_frame(source_mac: str) -> bytes:
    """A datagram with the guest's address that it never sent."""
    header = bytes.fromhex("45000020000100004011") + b"\0\0" + bytes([192, 0, 2, 10, 192, 0, 2, 1])
    total = sum(int.from_bytes(header[at : at + 2]) for at in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + (0xFFFF - total).to_bytes(2) + header[12:]
    macs = bytes.fromhex("02000000d001") + bytes.fromhex(source_mac.replace(":", ""))
    return macs + b"\x08\0" + header + bytes.fromhex("138823280000000061626364")


@pytest.mark.parametrize("mac", [DUT_NIC_MAC, "02:00:00:00:00:99"], ids=["guests-mac", "own-mac"])
def test_second_sender(wsk: Wsk, wire: Wire, mac: str) -> None:
    """Another machine on the bridge sends with the guest's addresses."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as other:
        other.bind((SPARE_END, 0))
        twenty_sends(wsk, wire)
        other.send(ipv4_frame(mac))


def test_late_capture(wsk: Wsk, wire: Wire) -> None:
    """The live capture begins to see only after the first sends; the record has seen them."""
    program = ctypes.create_string_buffer(_NOTHING)
    listening = capture(wsk)._tap._socket
    listening.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HxxxxxxP", 1, ctypes.addressof(program)))
    twenty_sends(wsk, wire)
    listening.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)
    twenty_sends(wsk, wire, 20)


def test_lossy_capture(wsk: Wsk, wire: Wire) -> None:
    """The live capture's ring is full, and the kernel drops what comes then."""
    twenty_sends(wsk, wire)
    tapped = capture(wsk)
    frame = bytes.fromhex("02000000d001" + "020000000099" + "88b6") + bytes(46)
    with tapped._news, socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as other:  # nobody empties the ring
        other.bind((SPARE_END, 0))
        for _ in range(2 * tapped._tap._slots):
            other.send(frame)


def test_silent_neighbour(wsk: Wsk, wire: Wire) -> None:
    """A host peer says nobody its MAC any more, and the guest has forgotten it."""
    peer = wire.peer(9000, index=2)
    with guest_shell() as shell:
        done = shell.run(f"linux:ip neigh flush to {peer.address} nud all")
        assert done.exit_code == 0, done
    subprocess.run(["ip", "addr", "del", f"{peer.address}/24", "dev", DUT_BRIDGE], check=True)
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"are you there?", peer))

"""The wire between guest and bridge harms frames: the verdict must name what it did, as far as a capture can know.

Each test runs inside a cell's worker and puts its relay there; ``harness defects`` judges what the cell says of it.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.api import Wire, Wsk, pattern
from harness.faults.relay import FAULTS, relay
from harness.lab.network import DUT_BRIDGE, SPARE_END, SPARE_PORT

SEED = 5


def tap() -> str:
    """The guest's interface on the DUT bridge."""
    ports = {path.name for path in Path(f"/sys/class/net/{DUT_BRIDGE}/brif").iterdir()}
    return (ports - {SPARE_PORT}).pop()


def twenty_sends(wsk: Wsk, wire: Wire) -> None:
    """Enough datagrams for one in three to be harmed."""
    with wsk.datagram_socket() as sock:
        for index in range(20):
            wire.expect(sock.send_to(pattern(100 + index, index), wire.peer(9000)))


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(wsk: Wsk, wire: Wire, fault: str) -> None:
    """Frames pass through the relay."""
    with relay(DUT_BRIDGE, tap(), FAULTS[fault], SEED):
        twenty_sends(wsk, wire)
        threading.Event().wait(0.5)  # for what the relay holds back


@contextmanager
def link_down() -> Iterator[None]:
    """The tap has no link while the context lasts."""
    name = tap()
    subprocess.run(["ip", "link", "set", name, "nomaster"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "link", "set", name, "master", DUT_BRIDGE], check=True)


def test_nic_unplugged(wsk: Wsk, wire: Wire) -> None:
    """The guest's cable leads nowhere."""
    with link_down():
        twenty_sends(wsk, wire)


def test_second_sender(wsk: Wsk, wire: Wire) -> None:
    """Another machine on the bridge sends with the guest's addresses."""
    mac = bytes.fromhex("525400d00001")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as other:
        other.bind((SPARE_END, 0))
        twenty_sends(wsk, wire)
        header = bytes.fromhex("45000020000100004011") + b"\0\0" + bytes([192, 0, 2, 10, 192, 0, 2, 1])
        total = sum(int.from_bytes(header[at : at + 2]) for at in range(0, 20, 2))
        total = (total & 0xFFFF) + (total >> 16)
        header = header[:10] + (0xFFFF - total).to_bytes(2) + header[12:]
        other.send(bytes.fromhex("02000000d001") + mac + b"\x08\0" + header + bytes.fromhex("138823280000000061626364"))

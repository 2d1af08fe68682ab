"""A wire with faults: a relay between the guest's tap and the DUT bridge, which harms frames by a seed. No netem."""

from __future__ import annotations

import contextlib
import heapq
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import children
from harness.capture.marker import Edge, Marker
from harness.errors import AwaitTimeout, LabError
from harness.model.checksum import partial_checksum

_ALL = 0x0003  # ETH_P_ALL
_OUTGOING = 4  # PACKET_OUTGOING
_UDP = 17
_FORWARDING = "3"  # BR_STATE_FORWARDING
_OUTER, _INNER = "wire-port", "wire-end"

Fault = Callable[[bytes, random.Random], list[tuple[float, bytes]]]
"""What becomes of a frame of the guest: (seconds later, frame) for each that goes on."""


def lose(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """One in three is lost."""
    return [] if dice.random() < 0.34 else [(0.0, frame)]


def copy(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """One in three comes twice."""
    return [(0.0, frame)] * (2 if dice.random() < 0.34 else 1)


def reorder(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """One in three is overtaken by those behind it."""
    return [(0.2 if dice.random() < 0.34 else 0.0, frame)]


def delay(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """All come later than a case waits for them."""
    return [(3.0, frame)]


def flip(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """One bit behind the Ethernet header changes in one in three."""
    if dice.random() >= 0.34:
        return [(0.0, frame)]
    at, bit = dice.randrange(14, len(frame)), dice.randrange(8)
    return [(0.0, frame[:at] + bytes([frame[at] ^ (1 << bit)]) + frame[at + 1 :])]


def cut(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """One in three loses its end."""
    return [(0.0, frame[: dice.randrange(14, len(frame))] if dice.random() < 0.34 else frame)]


def offload(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """The UDP checksum of IPv4 is left to hardware that is not there."""
    if frame[12:14] != b"\x08\x00" or frame[23] != _UDP:
        return [(0.0, frame)]
    at = 14 + (frame[14] & 0xF) * 4
    partial = partial_checksum(frame[26:30], frame[30:34], int.from_bytes(frame[at + 4 : at + 6], "big"))
    return [(0.0, frame[: at + 6] + partial.to_bytes(2, "big") + frame[at + 8 :])]


def tag(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """All get the tag of a VLAN that nobody asked for (IEEE 802.1Q)."""
    return [(0.0, frame[:12] + b"\x81\x00\x00\x07" + frame[12:])]


def _beside(kind: bytes, payload: bytes, to: bytes = b"", sender: bytes = b"") -> Fault:
    """The guest sends another frame after each of its own: of this type and content, to and from these MACs."""

    def fault(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
        return [(0.0, frame), (0.0, (to or frame[:6]) + (sender or frame[6:12]) + kind + payload)]

    return fault


def _as_host(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """Each frame is followed by one that the host seems to send."""
    return [(0.0, frame), (0.0, frame[6:12] + frame[:6] + frame[12:])]


def _forged(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """Each frame is followed by a marker that ends the case, as far as somebody can know who has not seen one."""
    return [(0.0, frame), (0.0, Marker(bytes(16), 1, Edge.END, 9).encode(frame[:6]))]


_ARP = (
    b"\x00\x01\x08\x00\x06\x04\x00\x01"
    + bytes.fromhex("525400d00001")
    + bytes([192, 0, 2, 10, *bytes(6), 192, 0, 2, 1])
)
_TCP = bytes.fromhex("450000dc000040004006") + b"\0\0" + bytes([192, 0, 2, 10, 192, 0, 2, 1]) + bytes(200)

SENDERS: dict[str, Fault] = {
    "as-host": _as_host,
    "marker-type": _beside(b"\x88\xb5", bytes(200)),
    "forged-marker": _forged,
    "arp-payload": _beside(b"\x08\x06", _ARP + bytes(200), b"\xff" * 6),
    "tcp-payload": _beside(b"\x08\x00", _TCP),
    "eapol-payload": _beside(b"\x88\x8e", bytes(200)),
    "reserved-lldp": _beside(b"\x88\xcc", bytes(60), bytes.fromhex("0180c200000e")),
    "reserved-pause": _beside(b"\x88\x08", bytes(60), bytes.fromhex("0180c2000001")),
}
"""What a guest sends beside its datagrams, to pass for somebody else or for background."""

FAULTS: dict[str, Fault] = SENDERS | {
    "loss": lose,
    "duplication": copy,
    "reordering": reorder,
    "delay": delay,
    "bit-errors": flip,
    "truncation": cut,
    "wrong-vlan": tag,
    "offload-on": offload,
}


@contextlib.contextmanager
def relay(
    bridge: str, tap: str, fault: Fault, seed: int, forget: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Put the relay between tap and bridge while the context lasts.

    Args:
        bridge: the bridge of the NIC under test.
        tap: the guest's interface on it.
        fault: what becomes of the guest's frames.
        seed: of its dice.
        forget: called when the relay is in place, before it goes and when it is gone, for a lab that watches its ports.

    Raises:
        LabError: the kernel refuses the interfaces.
    """
    _ip("link", "add", _OUTER, "type", "veth", "peer", "name", _INNER)
    for name in (_OUTER, _INNER):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
        _ip("link", "set", name, "up", "mtu", "9000")
    _ip("link", "set", tap, "nomaster")
    _ip("link", "set", _OUTER, "master", bridge)
    _ip("link", "set", _OUTER, "type", "bridge_slave", "learning", "off")  # the guest's MAC stays where it was
    _await_forwarding(_OUTER)
    forget()
    stop = threading.Event()
    inside, outside = _packets(tap), _packets(_INNER)  # here, for the first frame may come before the thread does
    arguments = (inside, outside, fault, random.Random(seed), stop)
    thread = threading.Thread(target=_pass_on, args=arguments, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5.0)
        forget()
        _ip("link", "del", _OUTER)
        _ip("link", "set", tap, "master", bridge)
        forget()


def _await_forwarding(port: str) -> None:
    """Wait until the bridge passes on what comes from a new port: it learns of carrier a moment later."""
    state, deadline = Path(f"/sys/class/net/{port}/brport/state"), time.monotonic() + 5.0
    while state.read_text().strip() != _FORWARDING:
        if time.monotonic() > deadline:
            raise AwaitTimeout(f"{port} to forward", 5.0)
        time.sleep(0.005)  # the kernel tells nobody of it by an event that says "forwarding" and no more


def _pass_on(
    inside: socket.socket, outside: socket.socket, fault: Fault, dice: random.Random, stop: threading.Event
) -> None:
    waiting: list[tuple[float, int, bytes]] = []
    count = 0
    with inside, outside, selectors.DefaultSelector() as selector:
        for each in (inside, outside):
            selector.register(each, selectors.EVENT_READ)
        while not stop.is_set():
            for key, _ in selector.select(0.01):
                frame, address = key.fileobj.recvfrom(65536)  # type: ignore[union-attr]
                if address[2] == _OUTGOING:
                    continue
                if key.fileobj is outside:
                    inside.send(frame)
                    continue
                for later, changed in fault(frame, dice):
                    count += 1
                    heapq.heappush(waiting, (time.monotonic() + later, count, changed))
            while waiting and waiting[0][0] <= time.monotonic():
                outside.send(heapq.heappop(waiting)[2])


def _packets(name: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    opened.bind((name, _ALL))
    return opened


def _ip(*words: str) -> None:
    done = children.run(["ip", *words])
    if done.returncode:
        raise LabError(f"ip {' '.join(words)}: {done.stderr.strip()}")

"""A wire with faults: a relay between the guest's tap and the DUT bridge, which harms frames by a seed. No netem."""

from __future__ import annotations

import contextlib
import heapq
import random
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.errors import LabError

_ALL = 0x0003  # ETH_P_ALL
_OUTGOING = 4  # PACKET_OUTGOING
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
    return [(5.0, frame)]


def flip(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """One bit behind the Ethernet header changes in one in three."""
    if dice.random() >= 0.34:
        return [(0.0, frame)]
    at, bit = dice.randrange(14, len(frame)), dice.randrange(8)
    return [(0.0, frame[:at] + bytes([frame[at] ^ (1 << bit)]) + frame[at + 1 :])]


def cut(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """One in three loses its end."""
    return [(0.0, frame[: dice.randrange(14, len(frame))] if dice.random() < 0.34 else frame)]


def tag(frame: bytes, dice: random.Random) -> list[tuple[float, bytes]]:
    """All get the tag of a VLAN that nobody asked for (IEEE 802.1Q)."""
    return [(0.0, frame[:12] + b"\x81\x00\x00\x07" + frame[12:])]


FAULTS: dict[str, Fault] = {
    "loss": lose,
    "duplication": copy,
    "reordering": reorder,
    "delay": delay,
    "bit-errors": flip,
    "truncation": cut,
    "wrong-vlan": tag,
}


@contextlib.contextmanager
def relay(bridge: str, tap: str, fault: Fault, seed: int) -> Iterator[None]:
    """Put the relay between tap and bridge while the context lasts.

    Raises:
        LabError: the kernel refuses the interfaces.
    """
    _ip("link", "add", _OUTER, "type", "veth", "peer", "name", _INNER)
    for name in (_OUTER, _INNER):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
        _ip("link", "set", name, "up", "mtu", "9000")
    _ip("link", "set", tap, "nomaster")
    _ip("link", "set", _OUTER, "master", bridge)
    stop = threading.Event()
    thread = threading.Thread(target=_pass_on, args=(tap, fault, random.Random(seed), stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5.0)
        _ip("link", "del", _OUTER)
        _ip("link", "set", tap, "master", bridge)


def _pass_on(tap: str, fault: Fault, dice: random.Random, stop: threading.Event) -> None:
    waiting: list[tuple[float, int, bytes]] = []
    count = 0
    with _packets(tap) as inside, _packets(_INNER) as outside, selectors.DefaultSelector() as selector:
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
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"ip {' '.join(words)}: {done.stderr.strip()}")

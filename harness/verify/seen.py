"""The values that dissection gives: datagrams, other frames, and what was wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address


class ChecksumState(Enum):
    """Our own judgement of a UDP checksum."""

    GOOD = "good"
    PARTIAL = "partial"
    ZERO = "zero"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Problem:
    """A field of a frame that is wrong whatever was sent (a checksum, a length, a fragment)."""

    field: str
    expected: str
    seen: str
    detail: str = ""


@dataclass(slots=True)
class SeenDatagram:
    """A UDP datagram as captured, reassembled if it was fragmented.

    Args:
        frames: frame numbers in capture order; the last one completed it.
        source, destination: packed addresses, 4 or 16 bytes.
        layout: bytes of IP payload per frame, by ascending offset.
        trailer: bytes after the IP packets, joined.
        headed: false when the fragment with the UDP header is missing, so that ports and checksum are unknown.
        complete: false for a fragmented datagram of which parts are missing (the payload has zeros there).
        problems: what is wrong with it whatever was sent.
    """

    frames: tuple[int, ...]
    source_mac: bytes
    destination_mac: bytes
    source: bytes
    destination: bytes
    source_port: int
    destination_port: int
    payload: bytes
    ttl: int
    tos: int
    dont_fragment: bool
    identification: int
    checksum: int
    checksum_state: ChecksumState
    layout: tuple[int, ...]
    trailer: bytes = b""
    complete: bool = True
    headed: bool = True
    in_order: bool = True
    problems: tuple[Problem, ...] = ()

    @property
    def frame(self) -> int:
        """Number of the frame that completed it."""
        return self.frames[-1]

    def __str__(self) -> str:
        return (
            f"{address_text(self.source)} port {self.source_port} -> "
            f"{endpoint_text(self.destination, self.destination_port)}, {len(self.payload)} bytes"
        )


@dataclass(frozen=True, slots=True)
class Other:
    """A frame that is no UDP datagram: what it is, in one word, and its bytes."""

    frame: int
    source_mac: bytes
    destination_mac: bytes
    protocol: str
    data: bytes
    problems: tuple[Problem, ...] = ()


def address_text(packed: bytes) -> str:
    """A packed address as text."""
    return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))


def endpoint_text(packed: bytes, port: int) -> str:
    """A packed address with its port as text."""
    return f"{address_text(packed)}:{port}" if len(packed) == 4 else f"[{address_text(packed)}]:{port}"

"""A captured frame and what tshark said of it: the values that verdicts are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from harness.capture.origin import Direction

_IP_TYPES = (b"\x08\x00", b"\x86\xdd")


class Checksum(Enum):
    """tshark's judgement of one checksum field."""

    GOOD = "good"
    BAD = "bad"
    UNVERIFIED = "unverified"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Dissection:
    """tshark's reading of one frame.

    Args:
        protocols: ``frame.protocols``, e.g. "eth:ethertype:ip:udp:data".
        source, destination: network addresses as text; empty when the frame has none.
        source_port, destination_port: UDP ports; ``None`` when tshark shows no UDP header on this frame (a fragment
            that does not complete its datagram).
        payload: UDP payload (of the reassembled datagram on the frame that completes it); ``None`` without UDP header.
        ip_checksum, udp_checksum: judgement of the header checksums.
        reassembled_from: frame numbers of the fragments when this frame completes a fragmented datagram.
        expert: tshark's expert messages, "severity: text".
    """

    protocols: str
    source: str = ""
    destination: str = ""
    source_port: int | None = None
    destination_port: int | None = None
    payload: bytes | None = None
    ip_checksum: Checksum = Checksum.ABSENT
    udp_checksum: Checksum = Checksum.ABSENT
    reassembled_from: tuple[int, ...] = ()
    expert: tuple[str, ...] = ()

    def renumbered(self, numbers: Sequence[int]) -> Dissection:
        """The same where tshark's frame ``n`` is the capture's frame ``numbers[n]``."""
        if not self.reassembled_from:
            return self
        return replace(self, reassembled_from=tuple(numbers[at] for at in self.reassembled_from if at < len(numbers)))


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One frame of a capture.

    Args:
        number: 1-based frame number in the file, as Wireshark counts.
        time_ns: capture time, nanoseconds since the epoch.
        data: captured bytes from the Ethernet destination on, without FCS.
        length: original length on the wire; larger than ``len(data)`` when the snap length cut the frame.
        interface: name of the interface, empty when the file does not say.
        dissection: tshark's reading; ``None`` until it is known.
        direction: whether the host sent it or a port of the bridge received it, where the capture says so.
    """

    number: int
    time_ns: int
    data: bytes
    length: int
    interface: str = ""
    dissection: Dissection | None = field(default=None, compare=False)
    direction: Direction = field(default=Direction.UNKNOWN, compare=False)


@dataclass(frozen=True, slots=True)
class Integrity:
    """Whether a capture can be trusted over a stretch of it.

    Args:
        started: the case's start marker was seen.
        ended: the case's end marker was seen.
        dropped: frames that the kernel or dumpcap lost so far; ``None`` when nobody could say.
        problems: anything else that makes it doubtful, in words (capture process died, wrong tap, netfilter on).
    """

    started: bool = True
    ended: bool = True
    dropped: int | None = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a case lies in the record.

    Args:
        first, last: numbers of its first and last frame, markers left out; 0 when it has none.
        guest_ns: time of the guest's last frame, nanoseconds since the epoch; 0 when it sent none.
        large: its frames are too many to be held: they must be read from the record.
    """

    first: int = 0
    last: int = 0
    guest_ns: int = 0
    large: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where a case is found in a record that may still grow.

    Args:
        path: the record.
        start: number of the case's start marker, or of the end marker of the case before.
        secret: what the session's markers carry.
        directions: ``Direction`` of each frame so far, by number from 1; the record says it only when it is complete.
    """

    path: Path
    start: int
    secret: bytes
    directions: bytes = b""


def is_ip(frame: bytes) -> bool:
    """Whether a raw frame is IPv4 or IPv6; fragments count, ARP does not."""
    return frame[12:14] in _IP_TYPES

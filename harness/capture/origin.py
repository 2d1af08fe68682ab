"""Who sent a captured frame: by the way it entered the bridge, and by its MAC only where nothing else is known.

The kernel says of each frame that passes the bridge whether the host sent it (``PACKET_OUTGOING``, packet(7)) or a port
received it. No sender can write that. The record keeps it in each packet's ``epb_flags`` (pcapng, section 4.3.1).
"""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum

_MARKER_TYPE = b"\x88\xb5"


class Direction(IntEnum):
    """Way of a frame as the capturing host sees it; the values are those of ``epb_flags``, bits 0 and 1."""

    UNKNOWN = 0
    INBOUND = 1
    OUTBOUND = 2


def is_host(direction: Direction, data: bytes, host_macs: Collection[bytes]) -> bool:
    """Whether the host sent a frame; all else counts as the guest's.

    Args:
        direction: what the capture says of the frame's way.
        data: the frame.
        host_macs: MACs of the host, which decide only where the capture does not say the direction. A guest can write
            them as well, so that such a capture proves less.

    A frame of the markers' EtherType, without a known direction, is the guest's: the caller has taken the run's markers
    out before, and no other frame of the host has that type.
    """
    if direction is Direction.UNKNOWN:
        return data[6:12] in host_macs and data[12:14] != _MARKER_TYPE
    return direction is Direction.OUTBOUND


def is_guest(direction: Direction, data: bytes, mac: bytes) -> bool:
    """Whether a port received a frame, or, where nobody knows, whether it has the guest's MAC."""
    return direction is Direction.INBOUND or (direction is Direction.UNKNOWN and data[6:12] == mac)

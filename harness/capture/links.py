"""Link layers of a capture as Ethernet: a frame of a Linux cooked capture is given the header that it lost.

Sources: LINKTYPE_LINUX_SLL (113) and LINKTYPE_LINUX_SLL2 (276) of the tcpdump group's list of link types. A cooked
frame says who sent it, and not to which MAC: the destination is ``NO_MAC`` then, or the broadcast MAC when the kernel
says that it was one.
"""

from __future__ import annotations

import struct

ETHERNET, COOKED, COOKED2 = 1, 113, 276
NO_MAC = bytes(6)
_BROADCAST, _BROADCAST_TYPE = b"\xff" * 6, 1
_SLL = struct.Struct(">HHH8s2s")
_SLL2 = struct.Struct(">2sHIHBB8s")
_NAMES = {
    0: "BSD loopback",
    12: "raw IP",
    14: "raw IP",
    101: "raw IP",
    105: "802.11",
    127: "802.11 with radiotap",
    228: "raw IPv4",
    229: "raw IPv6",
}


def name(link: int) -> str:
    """A link type as people call it."""
    known = {ETHERNET: "Ethernet", COOKED: "Linux cooked", COOKED2: "Linux cooked v2"} | _NAMES
    return known.get(link, f"link type {link}")


def is_cooked(link: int) -> bool:
    """Whether frames of this link type lack their destination MAC."""
    return link in (COOKED, COOKED2)


def is_readable(link: int) -> bool:
    """Whether ``ethernet`` understands the link type."""
    return link in (ETHERNET, COOKED, COOKED2)


def ethernet(link: int, data: bytes, length: int) -> tuple[bytes, int]:
    """Frame and original length as Ethernet; a cooked frame shorter than its own header becomes an empty one."""
    if link == ETHERNET:
        return data, length
    fixed = _SLL if link == COOKED else _SLL2
    if len(data) < fixed.size:
        return b"", max(0, length)
    if link == COOKED:
        kind, _, size, address, protocol = _SLL.unpack_from(data)
    else:
        protocol, _, _, _, kind, size, address = _SLL2.unpack_from(data)
    source = address[:6] if size == 6 else NO_MAC
    head = (_BROADCAST if kind == _BROADCAST_TYPE else NO_MAC) + source + protocol
    return head + data[fixed.size :], length - fixed.size + len(head)


def untag(data: bytes, vlan: int) -> bytes | None:
    """The frame without its outermost 802.1Q or 802.1ad tag when that is ``vlan``'s; ``None`` otherwise."""
    if data[12:14] not in (b"\x81\x00", b"\x88\xa8") or len(data) < 18:
        return None
    tag = (data[14] << 8 | data[15]) & 0x0FFF
    return data[:12] + data[16:] if tag == vlan else None

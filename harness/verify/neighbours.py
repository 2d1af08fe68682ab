"""Who was asked for and did not answer: address resolution in a stretch of a capture (RFC 826, RFC 4861).

A host peer is the lab's, and one that never says its MAC is no fault of the driver whose datagram waits for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from harness.capture.frames import CapturedFrame
from harness.capture.origin import is_host
from harness.verify import resolution
from harness.verify.forms import Scene

_REQUEST, _REPLY = b"\x00\x01", b"\x00\x02"
_SOLICITATION, _ADVERTISEMENT = 135, 136
_ICMPV6 = 58


def silent(frames: Iterable[CapturedFrame], scene: Scene) -> list[str]:
    """The host peers that the guest asked for in due form, and that the host did not answer for, one line each."""
    site = scene.site
    peers = site.peer_macs - {site.guest_mac}
    asked: Counter[IPv4Address | IPv6Address] = Counter()
    for frame in frames:
        found = _resolution(frame.data)
        if found is None:
            continue
        address, is_answer = found
        host = is_host(frame.direction, frame.data, peers)
        if is_answer and host:
            asked.pop(address, None)
        elif not (is_answer or host) and address in site.neighbours and _is_sound(frame.data, scene):
            asked[address] += 1
    return [
        f"the host peer {address} never answered: the guest asked for its MAC {count} times"
        for address, count in asked.items()
    ]


def _is_sound(data: bytes, scene: Scene) -> bool:
    return bool(resolution.arp(data, scene) or resolution.neighbour_discovery(data, scene))


def _resolution(data: bytes) -> tuple[IPv4Address | IPv6Address, bool] | None:
    """The address that a frame asks for, or says the MAC of, and which of both."""
    if data[12:14] == b"\x08\x06" and len(data) >= 42:
        if data[20:22] == _REQUEST:
            return IPv4Address(data[38:42]), False
        return (IPv4Address(data[28:32]), True) if data[20:22] == _REPLY else None
    if data[12:14] != b"\x86\xdd" or len(data) < 78 or data[20] != _ICMPV6:
        return None
    kind = data[54]
    return (IPv6Address(data[62:78]), kind == _ADVERTISEMENT) if kind in (_SOLICITATION, _ADVERTISEMENT) else None

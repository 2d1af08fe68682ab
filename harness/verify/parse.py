"""Our own reading of raw frames: Ethernet, IPv4, IPv6 and UDP, every length and checksum checked. No tshark.

Fragments go to ``reassemble``. A frame whose headers lie is still read as far as it makes sense, with the problems
named, so that a damaged datagram can be told from a foreign one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.capture.frames import CapturedFrame
from harness.model.checksum import folded_sum, pseudo_header
from harness.verify.reassemble import Fragment, Reassembler
from harness.verify.seen import ChecksumState, Other, Problem, SeenDatagram

_IPV4 = struct.Struct(">BBHHHBBH4s4s")
_IPV6 = struct.Struct(">IHBB16s16s")
_UDP = struct.Struct(">HHHH")
_MOST_TAGS = 4
_EXTENSIONS = {0: "hop-by-hop options", 43: "routing header", 60: "destination options"}
_IP_PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 58: "icmpv6"}
_ETHERTYPES = {0x0806: "arp", 0x88B5: "marker", 0x8100: "vlan", 0x88CC: "lldp", 0x888E: "eapol"}


@dataclass(slots=True)
class Dissected:
    """What a list of frames holds, in capture order, and which frames were cut short by the snap length."""

    datagrams: list[SeenDatagram] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)


def dissect(frames: Iterable[CapturedFrame]) -> Dissected:
    """Read frames in capture order."""
    result = Dissected()
    reassembler = Reassembler(finish)
    for frame in frames:
        if frame.length > len(frame.data):
            result.cut.append(frame.number)
        data, tags = _untagged(frame.data)
        ethertype = data[12:14]
        if ethertype == b"\x08\x00":
            item = _ipv4(frame.number, data, reassembler, tags)
        elif ethertype == b"\x86\xdd":
            item = _ipv6(frame.number, data, reassembler, tags)
        else:
            item = _other(frame.number, data, _ethertype_name(data), *tags)
        if isinstance(item, SeenDatagram):
            result.datagrams.append(item)
        elif item is not None:
            result.others.append(item)
    result.datagrams.extend(reassembler.leftovers())
    return result


def _untagged(data: bytes) -> tuple[bytes, tuple[Problem, ...]]:
    """The frame without its VLAN tags (IEEE Std 802.1Q), which nothing here expects."""
    tags: list[Problem] = []
    while data[12:14] in (b"\x81\x00", b"\x88\xa8") and len(data) >= 18 and len(tags) < _MOST_TAGS:
        tags.append(Problem("eth.vlan", "no tag", f"VLAN {(data[14] << 8 | data[15]) & 0x0FFF}"))
        data = data[:12] + data[16:]
    return data, tuple(tags)


def _other(number: int, data: bytes, protocol: str, *problems: Problem) -> Other:
    return Other(number, data[6:12], data[:6], protocol, data, problems)


def _ethertype_name(data: bytes) -> str:
    if len(data) < 14:
        return "short frame"
    value = data[12] << 8 | data[13]
    return _ETHERTYPES.get(value, "802.3" if value < 0x600 else f"ethertype 0x{value:04x}")


def _ipv4(number: int, data: bytes, reassembler: Reassembler, tags: tuple[Problem, ...]) -> SeenDatagram | Other | None:
    if len(data) < 34:
        return _other(number, data, "ipv4", Problem("ip.length", "20 bytes or more", f"{len(data) - 14}"))
    first, tos, total, ident, flags, ttl, protocol, _, source, destination = _IPV4.unpack_from(data, 14)
    if protocol != 17:
        return _other(number, data, _IP_PROTOCOLS.get(protocol, f"ip protocol {protocol}"), *tags)
    problems: list[Problem] = list(tags)
    header = (first & 0x0F) * 4
    if first != 0x45:
        problems.append(Problem("ip.version_ihl", "0x45", f"0x{first:02x}"))
        if first >> 4 != 4 or header < 20 or 14 + header > len(data):
            return _other(number, data, "ipv4", *problems)
    if folded_sum(data[14 : 14 + header]) != 0xFFFF:
        problems.append(Problem("ip.header_checksum", "a header that sums up", f"0x{data[24] << 8 | data[25]:04x}"))
    end = 14 + total
    if total < header or end > len(data):
        problems.append(Problem("ip.length", f"{len(data) - 14} at most", str(total)))
        end = len(data)
    if flags & 0x8000:
        problems.append(Problem("ip.reserved_flag", "0", "1"))
    body, trailer = data[14 + header : end], data[end:]
    more, offset, dont = bool(flags & 0x2000), (flags & 0x1FFF) * 8, bool(flags & 0x4000)
    if more or offset:
        if dont:
            problems.append(Problem("ip.dont_fragment", "clear on a fragment", "set", "DF together with fragmentation"))
        piece = Fragment(number, data[6:12], data[:6], ttl, tos, dont, offset, more, body, trailer, problems)
        return reassembler.add((source, destination, ident, 4), piece)
    head = (data[6:12], data[:6], source, destination)
    return finish((number,), head, (ttl, tos, dont, ident), body, (len(body),), trailer, problems)


def _ipv6(number: int, data: bytes, reassembler: Reassembler, tags: tuple[Problem, ...]) -> SeenDatagram | Other | None:
    if len(data) < 54:
        return _other(number, data, "ipv6", Problem("ip.length", "40 bytes or more", f"{len(data) - 14}"))
    first, length, following, ttl, source, destination = _IPV6.unpack_from(data, 14)
    problems: list[Problem] = list(tags)
    if first >> 28 != 6:
        return _other(number, data, "ipv6", Problem("ip.version_ihl", "6", str(first >> 28)))
    tos, end, at = first >> 20 & 0xFF, 54 + length, 54
    if end > len(data):
        problems.append(Problem("ip.length", f"{len(data) - 54} at most", str(length)))
        end = len(data)
    while following in _EXTENSIONS and at + 8 <= end:
        problems.append(Problem("ip.extension_header", "none", _EXTENSIONS[following]))
        following, at = data[at], at + 8 + data[at + 1] * 8
    trailer = data[end:]
    head = (data[6:12], data[:6], source, destination)
    if following == 44 and at + 8 <= end:
        following, _, word, ident = struct.unpack_from(">BBHI", data, at)
        if following != 17:
            return _other(number, data, _IP_PROTOCOLS.get(following, f"ip protocol {following}"), *tags)
        body, more, offset = data[at + 8 : end], bool(word & 1), word & 0xFFF8
        if more or offset:
            piece = Fragment(number, data[6:12], data[:6], ttl, tos, False, offset, more, body, trailer, problems)
            return reassembler.add((source, destination, ident, 6), piece)
        problems.append(Problem("ip.fragment", "no Fragment header", "an atomic fragment"))
        return finish((number,), head, (ttl, tos, False, ident), body, (len(body),), trailer, problems)
    if following != 17:
        name = "icmpv6" if problems and following == 58 else _IP_PROTOCOLS.get(following, f"ip protocol {following}")
        return _other(number, data, name, *tags)
    body = data[at:end]
    return finish((number,), head, (ttl, tos, False, 0), body, (len(body),), trailer, problems)


def finish(
    frames: tuple[int, ...],
    head: tuple[bytes, bytes, bytes, bytes],
    ip: tuple[int, int, bool, int],
    body: bytes,
    layout: tuple[int, ...],
    trailer: bytes,
    problems: list[Problem],
    complete: bool = True,
) -> SeenDatagram:
    """Read the UDP part of an IP payload.

    Args:
        frames: frame numbers in capture order.
        head: source MAC, destination MAC, source and destination address.
        ip: TTL, TOS, DF, identification.
        body: IP payload, from the UDP header on.
        layout: bytes of it per frame.
        trailer: what follows the IP packets.
        problems: those found so far.
        complete: whether all of the body is there.
    """
    source, destination = head[2], head[3]
    if len(body) < 8:
        problems.append(Problem("udp.length", "8 bytes or more", f"{len(body)} bytes of IP payload"))
        body, complete = body.ljust(8, b"\x00"), False
    source_port, destination_port, length, checksum = _UDP.unpack_from(body)
    if length != len(body) and complete:
        problems.append(Problem("udp.length", str(len(body)), str(length)))
        if 8 <= length < len(body):
            body = body[:length]
    state = ChecksumState.UNKNOWN
    if complete:
        pseudo = folded_sum(pseudo_header(source, destination, length))
        if checksum == 0:
            state = ChecksumState.ZERO
        elif (pseudo + folded_sum(body)) % 0xFFFF == 0:
            state = ChecksumState.GOOD
        elif checksum == pseudo:
            state = ChecksumState.PARTIAL
        else:
            state = ChecksumState.BAD
    return SeenDatagram(
        frames=frames,
        source_mac=head[0],
        destination_mac=head[1],
        source=source,
        destination=destination,
        source_port=source_port,
        destination_port=destination_port,
        payload=body[8:],
        ttl=ip[0],
        tos=ip[1],
        dont_fragment=ip[2],
        identification=ip[3],
        checksum=checksum,
        checksum_state=state,
        layout=layout,
        trailer=trailer,
        complete=complete,
        problems=tuple(problems),
    )

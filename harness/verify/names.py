"""The forms of what a guest asks of services by UDP: mDNS, LLMNR, NetBIOS names, SSDP searches and DHCP requests.

Only requests have a form here: a guest in this lab has nothing to answer. Names in them are free, within a host name's
letters and 63 bytes a message, so that an allowance of such a protocol is one for a guest that cannot be kept silent.
"""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Address, IPv6Address

from harness.model.addresses import BROADCAST_MAC, group_mac
from harness.verify.forms import NO_MAC, Known, Scene, address
from harness.verify.seen import ChecksumState, SeenDatagram

_MDNS, _LLMNR, _NBNS, _SSDP, _DHCP_SERVER, _DHCP_CLIENT = 5353, 5355, 137, 1900, 67, 68
_GROUPS: dict[int, frozenset[bytes]] = {
    _MDNS: frozenset({IPv4Address("224.0.0.251").packed, IPv6Address("ff02::fb").packed}),
    _LLMNR: frozenset({IPv4Address("224.0.0.252").packed, IPv6Address("ff02::1:3").packed}),
    _SSDP: frozenset({IPv4Address("239.255.255.250").packed, IPv6Address("ff02::c").packed}),
}
_LONGEST_NAME = 63
_LABEL = re.compile(rb"[A-Za-z0-9_-]{1,63}")
_TYPES = frozenset({1, 12, 16, 28, 33, 255})  # A, PTR, TXT, AAAA, SRV, ANY
_CLASSES = frozenset({1, 0x8001})  # IN, and mDNS's wish for a unicast answer (RFC 6762 section 5.4)
_HEADER = struct.Struct(">HHHHHH")
_SEARCH = re.compile(
    rb"M-SEARCH \* HTTP/1\.1\r\n(?:(?:HOST: ?[0-9A-Fa-f:.\[\]]{1,48}|MAN: ?\"ssdp:discover\"|MX: ?[1-5]"
    rb"|ST: ?[A-Za-z0-9:._-]{1,63})\r\n){4}\r\n",
    re.IGNORECASE,
)
_BOOTP = struct.Struct(">BBBBIHH4s4s4s4s16s64s128s4s")
_COOKIE = b"\x63\x82\x53\x63"
_DHCP_LONGEST = 590  # RFC 2131 section 2: 548 bytes are a message that anybody takes


def form_of(seen: SeenDatagram, scene: Scene) -> Known | None:
    """The service that a datagram asks; ``None`` when it is no such request, byte for byte."""
    sound = (ChecksumState.GOOD, ChecksumState.PARTIAL) if scene.site.partial_checksum else (ChecksumState.GOOD,)
    whole = seen.complete and not seen.problems and len(seen.frames) == 1 and seen.tos == 0
    if not whole or any(seen.trailer) or seen.checksum_state not in sound or seen.source_mac != scene.site.guest_mac:
        return None
    ports = (seen.source_port, seen.destination_port)
    if ports == (_DHCP_CLIENT, _DHCP_SERVER):
        return Known("dhcp") if _is_dhcp(seen, scene) else None
    if not scene.owns(seen.source):
        return None
    if ports == (_NBNS, _NBNS):
        to_all = scene.site.is_broadcast(address(seen.destination)) and seen.destination_mac in (BROADCAST_MAC, NO_MAC)
        return Known("nbns") if to_all and _is_netbios(seen.payload) else None
    if seen.destination not in _GROUPS.get(seen.destination_port, ()):
        return None
    if seen.destination_mac not in (group_mac(address(seen.destination)), NO_MAC):
        return None
    free = seen.source_port in scene.site.profile.ephemeral_ports
    if ports == (_MDNS, _MDNS):
        return Known("mdns") if _is_question(seen.payload, identified=False) else None
    if seen.destination_port == _LLMNR and free:
        return Known("llmnr") if _is_question(seen.payload, identified=True) else None
    if seen.destination_port == _SSDP and free:
        return Known("ssdp") if _SEARCH.fullmatch(seen.payload) else None
    return None


def _is_question(message: bytes, *, identified: bool) -> bool:
    """Whether a DNS message is one question and nothing behind it (RFC 1035 section 4; RFC 4795 for LLMNR)."""
    if len(message) < _HEADER.size + 5:
        return False
    number, flags, *counts = _HEADER.unpack_from(message)
    end = _name_end(message, _HEADER.size)
    if flags or counts != [1, 0, 0, 0] or (number and not identified) or end + 4 != len(message):
        return False
    kind, group = struct.unpack_from(">HH", message, end)
    return kind in _TYPES and group in _CLASSES


def _name_end(message: bytes, at: int) -> int:
    """Where an uncompressed name ends; -1 when it is none, or longer than a name may be here."""
    start = at
    while at < len(message) and at - start <= _LONGEST_NAME:
        size = message[at]
        if size == 0:
            return at + 1
        if not _LABEL.fullmatch(message[at + 1 : at + 1 + size]) or size > 63:
            return -1
        at += 1 + size
    return -1


def _is_netbios(message: bytes) -> bool:
    """Whether a message is the question for one NetBIOS name (RFC 1002 sections 4.2.1 and 4.2.12)."""
    if len(message) != 50:
        return False
    flags, *counts = struct.unpack_from(">HHHHH", message, 2)
    coded = message[13:45]
    letters = all(0x41 <= byte <= 0x50 for byte in coded)
    return flags == 0x0110 and counts == [1, 0, 0, 0] and message[12] == 32 and letters and message[45:] == _NB_QUESTION


_NB_QUESTION = b"\x00\x00\x20\x00\x01"


def _is_dhcp(seen: SeenDatagram, scene: Scene) -> bool:
    """Whether a datagram is a client's DHCP message that asks for an address (RFC 2131 section 2, RFC 2132)."""
    message = seen.payload
    if len(seen.source) != 4 or not _BOOTP.size + 4 <= len(message) <= _DHCP_LONGEST:
        return False
    head = _BOOTP.unpack_from(message)
    kind, hardware, size, hops, _, seconds, flags, client, yours, server, relay, mac, host, file, cookie = head
    fixed = (kind, hardware, size, hops) == (1, 1, 6, 0) and seconds < 0x100 and flags in (0, 0x8000)
    empty = not any(yours + server + relay + host + file) and (not any(client) or scene.owns(client))
    to_all = seen.destination == b"\xff" * 4 and seen.destination_mac in (BROADCAST_MAC, NO_MAC)
    mine = mac == scene.site.guest_mac + bytes(10) and cookie == _COOKIE
    sender = seen.source == bytes(4) or scene.owns(seen.source)
    return fixed and empty and to_all and mine and sender and _are_options(message[_BOOTP.size :], scene)


_MESSAGE_TYPES = frozenset({1, 3, 8})  # DISCOVER, REQUEST, INFORM
_DHCP_OPTIONS: dict[int, range] = {
    12: range(1, 16),  # host name: as long as a NetBIOS name
    50: range(4, 5),
    53: range(1, 2),
    54: range(4, 5),
    55: range(1, 17),
    57: range(2, 3),
    60: range(8, 9),
    61: range(7, 8),
}


def _are_options(options: bytes, scene: Scene) -> bool:
    """Whether options are some that a client sends, each once, and zeros follow their end."""
    at = 0
    met: dict[int, bytes] = {}
    while at + 1 < len(options) and options[at] != 255:
        code, size = options[at], options[at + 1]
        value = options[at + 2 : at + 2 + size]
        if code in met or size not in _DHCP_OPTIONS.get(code, ()) or len(value) != size:
            return False
        met[code] = value
        at += 2 + size
    if at >= len(options) or options[at] != 255 or any(options[at + 1 :]):
        return False
    identity = met.get(61, b"\x01" + scene.site.guest_mac)
    vendor = met.get(60, b"MSFT 5.0")
    name = met.get(12, b"x")
    kind = met.get(53, b"")
    right = identity == b"\x01" + scene.site.guest_mac and vendor == b"MSFT 5.0" and bool(_LABEL.fullmatch(name))
    return right and len(kind) == 1 and kind[0] in _MESSAGE_TYPES

"""Third layer: the datagrams on the wire, from payload, destination, options, control information, MTU and profile.

Broadcasts and multicasts of the guest are one frame each on the wire; multicast loop adds none (RFC 1112 section 6.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from harness.model.addresses import BROADCAST_MAC, Cast, group_mac
from harness.model.control import Control
from harness.model.datagram import ChecksumRule, ExpectedDatagram
from harness.model.frames import (
    ETHERNET_HEADER,
    ETHERNET_MINIMUM,
    FRAGMENT_HEADER,
    IPV4_HEADER,
    IPV6_HEADER,
    MAX_PAYLOAD,
    UDP_HEADER,
    layout,
)
from harness.model.profile import Situation
from harness.model.site import Site
from harness.model.socket import Socket
from harness.wsk import options as opt
from harness.wsk.types import Address, Endpoint, Family

ALWAYS_FREE = {
    "ip.id": "RFC 6864: any value, equal within a datagram",
    "ip.flow_label": "RFC 6437: the sender's choice",
    "ip.fragment_order": "RFC 791: any order",
}
OFF_WIRE = frozenset({Situation.ELSEWHERE, Situation.UNRESOLVED})
"""If such a send succeeds, nothing of it is seen on the wire."""

ON_WIRE = OFF_WIRE | {Situation.SEGMENTATION}
"""If a send with nothing but these succeeds, its datagrams are known, and all of them must be there."""


@dataclass(frozen=True, slots=True)
class Wire:
    """What a send of one payload puts on the wire, and what stands in its way."""

    datagrams: tuple[ExpectedDatagram, ...]
    trouble: tuple[Situation, ...]


def build(
    socket: Socket, site: Site, to: Endpoint, data: bytes, control: Control, operation: int, index: int, completed: int
) -> Wire:
    """The datagrams of one payload sent to ``to``, numbered from ``index`` within ``operation``."""
    family, cast = to.family, cast_of(site, to.address)
    if len(data) > MAX_PAYLOAD[family]:
        return Wire((), (*control.trouble, *_route(socket, site, to, cast, control), Situation.OVERSIZE))
    sources = _sources(socket, site, to, cast, control)
    if not sources:
        return Wire((), (Situation.ELSEWHERE,))
    segment = socket.options.segment if control.segment is None else control.segment
    pieces = [data[at : at + segment] for at in range(0, len(data), segment)] if 0 < segment < len(data) else [data]
    forbidden, fragment_flag, df_free = _fragmentation(socket, site, family)
    ttl, ttl_free = _ttl(socket, site, family, cast)
    tos, tos_free = _tos(socket, site, family, control)
    free = ALWAYS_FREE | ttl_free | tos_free | df_free
    if len(pieces) > 1:
        free |= {"ip.dont_fragment": "UDP segmentation: DF is the stack's choice"}
    for name in ("ip.fragments", "eth.trailer"):
        if name not in site.profile.asserted:
            free |= {name: f"not verified on {site.profile.name}"}
    first = ExpectedDatagram(
        operation=operation,
        index=index,
        socket=socket.id,
        source_mac=site.guest_mac,
        destination_mac=_mac(site, to.address, cast),
        source=Endpoint(sources[0], socket.source_port),
        sources=sources[1:],
        destination=to,
        payload=b"",
        ttl=ttl,
        tos=tos,
        dont_fragment=fragment_flag,
        checksum=_checksum(socket, site, family),
        cast=cast,
        loop=socket.options.multicast_loop.get(family, True),
        layout=(),
        free=free,
        completed=completed,
    )
    made = tuple(_piece(first, site, piece, index + number) for number, piece in enumerate(pieces))
    trouble = [*control.trouble, *_route(socket, site, to, cast, control)]
    if cast is Cast.BROADCAST and not socket.options.broadcast:
        trouble.append(Situation.BROADCAST_DENIED)
    if ttl == 0 and cast is Cast.MULTICAST:
        trouble.append(Situation.ELSEWHERE)  # RFC 1112: TTL 0 stays on the host
    trouble.extend(_size_trouble(site, family, segment, pieces, forbidden))
    return Wire(made, tuple(dict.fromkeys(trouble)))


def _checksum(socket: Socket, site: Site, family: Family) -> ChecksumRule:
    if family is not Family.INET:
        return ChecksumRule.FULL
    if socket.options.no_checksum:
        return ChecksumRule.NONE
    return ChecksumRule.UNMENDED if site.zero_checksum_stays else ChecksumRule.FULL


def _size_trouble(site: Site, family: Family, segment: int, pieces: list[bytes], forbidden: bool) -> list[Situation]:
    """What stands against sizes: segments beyond the MTU or too many of them, fragments where none are allowed."""
    room = site.mtu - UDP_HEADER - (IPV4_HEADER if family is Family.INET else IPV6_HEADER)
    out: list[Situation] = []
    if segment > room:
        out.append(Situation.SEGMENT_TOO_BIG)
    if segment:  # Linux refuses it on a link without checksum offload, even where one piece is enough
        out.append(Situation.SEGMENTATION)
    if site.profile.max_segments is not None and len(pieces) > site.profile.max_segments:
        out.append(Situation.CONTROL_UNKNOWN)
    if forbidden and not segment and len(pieces[0]) > room:
        out.append(Situation.TOO_BIG_FOR_DF)
    return out


def cast_of(site: Site, address: Address) -> Cast:
    """How that destination is reached from this site."""
    if address.is_multicast:
        return Cast.MULTICAST
    return Cast.BROADCAST if site.is_broadcast(address) else Cast.UNICAST


def _piece(first: ExpectedDatagram, site: Site, data: bytes, index: int) -> ExpectedDatagram:
    sizes = layout(first.destination.family, len(data), site.mtu)
    header = ETHERNET_HEADER + (IPV4_HEADER if first.destination.family is Family.INET else IPV6_HEADER)
    if len(sizes) > 1 and first.destination.family is Family.INET6:
        header += FRAGMENT_HEADER
    trailer = sum(max(0, ETHERNET_MINIMUM - header - size) for size in sizes) if site.pads else 0
    df = first.dont_fragment and len(sizes) == 1 and first.destination.family is Family.INET
    return replace(first, index=index, payload=data, layout=sizes, trailer=trailer, dont_fragment=df)


def _route(socket: Socket, site: Site, to: Endpoint, cast: Cast, control: Control) -> list[Situation]:
    """Whether the datagram leaves by the NIC under test, to a MAC that is known."""
    family, address = to.family, to.address
    if int(address) == 0:
        return [Situation.ELSEWHERE]
    asked: int | IPv4Address | None = control.interface
    if asked is None:
        table = socket.options.multicast_if if cast is Cast.MULTICAST else socket.options.unicast_if
        asked = table.get(family)
    if isinstance(asked, IPv4Address) and not site.owns(asked):
        return [Situation.ELSEWHERE]
    if isinstance(asked, int) and asked and site.interface_index is not None and asked != site.interface_index:
        return [Situation.ELSEWHERE]
    if cast is not Cast.UNICAST:
        return []
    if site.owns(address) or address.is_loopback or not site.on_link(address):
        return [Situation.ELSEWHERE]
    return [] if address in site.neighbours else [Situation.UNRESOLVED]


def _mac(site: Site, address: Address, cast: Cast) -> bytes:
    if cast is Cast.UNICAST:
        return site.neighbours.get(address, bytes(6))
    return BROADCAST_MAC if cast is Cast.BROADCAST else group_mac(address)


def _sources(socket: Socket, site: Site, to: Endpoint, cast: Cast, control: Control) -> tuple[Address, ...]:
    """Source addresses that are right, the likeliest first."""
    if control.source is not None:
        return (control.source,)
    bound = socket.source_address
    if bound is not None:
        return (bound,)
    asked = socket.options.multicast_if.get(to.family)
    usual = site.sources(to.address)
    if cast is Cast.MULTICAST and isinstance(asked, IPv4Address):
        return (asked,) if site.profile.multicast_if_source else tuple(dict.fromkeys((asked, *usual)))
    return usual


def _fragmentation(socket: Socket, site: Site, family: Family) -> tuple[bool, bool, dict[str, str]]:
    """(fragmentation forbidden, DF on what fits, what is free). WinSock IP_DONTFRAGMENT, IP_MTU_DISCOVER."""
    options, profile = socket.options, site.profile
    mode = options.mtu_discover.get(family, opt.PMTUDISC_NOT_SET)
    dont = options.dont_fragment.get(family)
    if mode in (opt.PMTUDISC_DO, opt.PMTUDISC_PROBE) or dont:
        return True, True, {}
    if mode == opt.PMTUDISC_DONT or dont is False:
        return False, False, {}
    free = {} if "ip.dont_fragment" in profile.asserted else {"ip.dont_fragment": f"not verified on {profile.name}"}
    return False, profile.dont_fragment, free


def _ttl(socket: Socket, site: Site, family: Family, cast: Cast) -> tuple[int, dict[str, str]]:
    profile = site.profile
    if cast is Cast.MULTICAST:
        table, default, name = socket.options.multicast_ttl, profile.multicast_ttl, "ip.multicast_ttl"
    else:
        table, default, name = socket.options.ttl, profile.ttl, "ip.ttl"
    if family in table:
        return table[family], {}
    return default, {} if name in profile.asserted else {"ip.ttl": f"default not verified on {profile.name}"}


def _tos(socket: Socket, site: Site, family: Family, control: Control) -> tuple[int, dict[str, str]]:
    free: dict[str, str] = {}
    if control.tos is not None:
        tos = control.tos
    elif family in socket.options.tos:
        tos = socket.options.tos[family] & 0xFF
        if family is Family.INET:
            free = {"ip.tos": "WinSock: IP_TOS as a socket option: do not use"}
    else:
        tos = 0
        free = {} if "ip.tos" in site.profile.asserted else {"ip.tos": f"default not verified on {site.profile.name}"}
    return (tos if control.ecn is None else tos & 0xFC | control.ecn), free

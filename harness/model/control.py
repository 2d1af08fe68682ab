"""What control information says about one send: source, interface, TOS, segmentation.

Sources: WinSock WSASendMsg (packet information), ECN, UDP socket options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from harness.model.profile import Situation
from harness.wsk import options as opt
from harness.wsk.types import Address, ControlMessage, Family


@dataclass(frozen=True, slots=True)
class Control:
    """The sum of a send's control messages; ``None`` where they say nothing."""

    source: Address | None = None
    interface: int | None = None
    tos: int | None = None
    ecn: int | None = None
    segment: int | None = None
    trouble: tuple[Situation, ...] = ()


NOTHING = Control()


def read(messages: Sequence[ControlMessage], family: Family) -> Control:
    """Control information of a send that leaves as IPv4 or IPv6 (an IPv4-mapped destination leaves as IPv4)."""
    if not messages:
        return NOTHING
    own = opt.IPPROTO_IP if family is Family.INET else opt.IPPROTO_IPV6
    source: Address | None = None
    interface = tos = ecn = segment = None
    trouble: list[Situation] = []
    for message in messages:
        key, data = (message.level, message.type), message.data
        number = int.from_bytes(data[:4], "little")
        if key == (own, opt.IP_PKTINFO) and len(data) == (8 if family is Family.INET else 20):
            packed = data[:-4]
            address: Address = IPv4Address(packed) if family is Family.INET else IPv6Address(packed)
            source = address if int(address) else None
            interface = int.from_bytes(data[-4:], "little") or None
        elif key in ((opt.IPPROTO_IP, opt.IP_TOS), (opt.IPPROTO_IPV6, opt.IPV6_TCLASS)) and message.level == own:
            tos = number & 0xFF
            trouble += [Situation.CONTROL_UNKNOWN] if len(data) != 4 or number > 0xFF else []
        elif key == (own, opt.IP_ECN):
            ecn = number & 3
            trouble += [Situation.CONTROL_REFUSED] if len(data) != 4 or number >= opt.ECN_CE else []
        elif key == (opt.IPPROTO_UDP, opt.UDP_SEND_MSG_SIZE) and len(data) == 4:
            segment = number
        elif key in ((opt.IPPROTO_IP, opt.IP_OPTIONS), (opt.IPPROTO_IPV6, opt.IPV6_RTHDR)) and not data:
            continue  # empty: no effect on the wire
        else:
            trouble.append(Situation.CONTROL_UNKNOWN)
    return Control(source, interface, tos, ecn, segment, tuple(trouble))

"""Makes socket options and control messages, with Windows' numbers and with values laid out as Windows expects.

Source: ws2def.h, ws2ipdef.h and the WinSock option pages. An option is a ``SocketOption``; its ``on(socket)`` returns
the operation that sets it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from harness.wsk.operations import SetOption
from harness.wsk.types import ControlMessage, Family

SOL_SOCKET = 0xFFFF
IPPROTO_IP = 0
IPPROTO_UDP = 17
IPPROTO_IPV6 = 41

SO_REUSEADDR = 0x0004
SO_EXCLUSIVEADDRUSE = 0xFFFFFFFB  # ((int)(~SO_REUSEADDR)), unsigned
SO_BROADCAST = 0x0020
SO_RCVBUF = 0x1002
SO_RANDOMIZE_PORT = 0x3005
SO_WSK_SECURITY = 0x4001
SO_WSK_EVENT_CALLBACK = 0x4002

IP_OPTIONS = 1
IP_TOS = 3
IP_TTL = 4
IP_MULTICAST_IF = 9
IP_MULTICAST_TTL = 10
IP_MULTICAST_LOOP = 11
IP_DONTFRAGMENT = 14
IP_PKTINFO = 19
IP_UNICAST_IF = 31
IP_ECN = 50
IP_MTU_DISCOVER = 71
IP_USER_MTU = 76

IPV6_UNICAST_HOPS = 4
IPV6_MULTICAST_IF = 9
IPV6_MULTICAST_HOPS = 10
IPV6_MULTICAST_LOOP = 11
IPV6_DONTFRAG = 14
IPV6_PKTINFO = 19
IPV6_V6ONLY = 27
IPV6_UNICAST_IF = 31
IPV6_RTHDR = 32
IPV6_TCLASS = 39
IPV6_ECN = 50
IPV6_MTU_DISCOVER = 71

UDP_NOCHECKSUM = 1
UDP_SEND_MSG_SIZE = 2

PMTUDISC_NOT_SET = 0
PMTUDISC_DO = 1
PMTUDISC_DONT = 2
PMTUDISC_PROBE = 3

ECN_CE = 3


@dataclass(frozen=True, slots=True)
class SocketOption:
    """An option with its value, not yet tied to a socket."""

    level: int
    name: int
    value: bytes

    def on(self, socket: int) -> SetOption:
        """Return the operation that sets this option on the plan's socket of that number."""
        return SetOption(socket, self.level, self.name, self.value)


def dword(value: int) -> bytes:
    """Pack a DWORD in host order (little endian), the form of most option values."""
    return struct.pack("<I", value & 0xFFFFFFFF)


def _ip(family: Family, v4: int, v6: int, value: bytes) -> SocketOption:
    return SocketOption(IPPROTO_IP, v4, value) if family is Family.INET else SocketOption(IPPROTO_IPV6, v6, value)


def broadcast(on: bool = True) -> SocketOption:
    """SO_BROADCAST."""
    return SocketOption(SOL_SOCKET, SO_BROADCAST, dword(on))


def reuse_address(on: bool = True) -> SocketOption:
    """SO_REUSEADDR; before bind."""
    return SocketOption(SOL_SOCKET, SO_REUSEADDR, dword(on))


def exclusive_address(on: bool = True) -> SocketOption:
    """SO_EXCLUSIVEADDRUSE; before bind."""
    return SocketOption(SOL_SOCKET, SO_EXCLUSIVEADDRUSE, dword(on))


def ttl(family: Family, hops: int) -> SocketOption:
    """IP_TTL or IPV6_UNICAST_HOPS, 1 to 255."""
    return _ip(family, IP_TTL, IPV6_UNICAST_HOPS, dword(hops))


def multicast_ttl(family: Family, hops: int) -> SocketOption:
    """IP_MULTICAST_TTL or IPV6_MULTICAST_HOPS, 0 to 255."""
    return _ip(family, IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, dword(hops))


def multicast_loop(family: Family, on: bool) -> SocketOption:
    """IP_MULTICAST_LOOP or IPV6_MULTICAST_LOOP."""
    return _ip(family, IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP, dword(on))


def multicast_if(family: Family, interface: int | IPv4Address) -> SocketOption:
    """IP_MULTICAST_IF or IPV6_MULTICAST_IF.

    IPv4 takes an address or an index written as 0.x.x.x, both in network order; IPv6 an index in host order.
    """
    if family is Family.INET6:
        return SocketOption(IPPROTO_IPV6, IPV6_MULTICAST_IF, dword(int(interface)))
    return SocketOption(IPPROTO_IP, IP_MULTICAST_IF, struct.pack(">I", int(interface)))


def unicast_if(family: Family, index: int) -> SocketOption:
    """IP_UNICAST_IF (index in network order) or IPV6_UNICAST_IF (index in host order)."""
    value = struct.pack(">I", index) if family is Family.INET else dword(index)
    return _ip(family, IP_UNICAST_IF, IPV6_UNICAST_IF, value)


def dont_fragment(family: Family, on: bool = True) -> SocketOption:
    """IP_DONTFRAGMENT or IPV6_DONTFRAG."""
    return _ip(family, IP_DONTFRAGMENT, IPV6_DONTFRAG, dword(on))


def mtu_discover(family: Family, mode: int) -> SocketOption:
    """IP_MTU_DISCOVER or IPV6_MTU_DISCOVER with one of the PMTUDISC_* values."""
    return _ip(family, IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, dword(mode))


def v6only(on: bool) -> SocketOption:
    """IPV6_V6ONLY; before bind."""
    return SocketOption(IPPROTO_IPV6, IPV6_V6ONLY, dword(on))


def no_checksum(on: bool = True) -> SocketOption:
    """UDP_NOCHECKSUM: IPv4 datagrams have the checksum 0."""
    return SocketOption(IPPROTO_UDP, UDP_NOCHECKSUM, dword(on))


def send_message_size(size: int) -> SocketOption:
    """UDP_SEND_MSG_SIZE: the stack cuts every send into datagrams of ``size`` bytes; 0 ends that."""
    return SocketOption(IPPROTO_UDP, UDP_SEND_MSG_SIZE, dword(size))


def pktinfo(address: IPv4Address | IPv6Address, index: int = 0) -> ControlMessage:
    """IP_PKTINFO or IPV6_PKTINFO: source address and interface index; the stack chooses if unspecified or 0."""
    if isinstance(address, IPv4Address):
        return ControlMessage(IPPROTO_IP, IP_PKTINFO, address.packed + dword(index))
    return ControlMessage(IPPROTO_IPV6, IPV6_PKTINFO, address.packed + dword(index))


def tos(value: int) -> ControlMessage:
    """IP_TOS: the whole TOS byte of one datagram."""
    return ControlMessage(IPPROTO_IP, IP_TOS, dword(value))


def traffic_class(value: int) -> ControlMessage:
    """IPV6_TCLASS: the whole traffic class of one datagram."""
    return ControlMessage(IPPROTO_IPV6, IPV6_TCLASS, dword(value))


def ecn(family: Family, codepoint: int) -> ControlMessage:
    """IP_ECN or IPV6_ECN: the two ECN bits; CE (3) is not allowed."""
    level = IPPROTO_IP if family is Family.INET else IPPROTO_IPV6
    return ControlMessage(level, IP_ECN, dword(codepoint))


def segment(size: int) -> ControlMessage:
    """UDP_SEND_MSG_SIZE as a control message, for one send only."""
    return ControlMessage(IPPROTO_UDP, UDP_SEND_MSG_SIZE, dword(size))

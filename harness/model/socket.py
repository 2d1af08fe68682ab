"""The state of one datagram socket as a plan changes it: bind, options, fixed addresses, sends in flight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from harness.model.datagram import SocketId
from harness.wsk import options as opt
from harness.wsk.types import Endpoint, Family


@dataclass(slots=True)
class Options:
    """Options with an effect on the wire; ``None`` means never set, so that the stack's default holds.

    Those of IPPROTO_IP and IPPROTO_IPV6 are kept apart: on a dual-stack socket each family obeys its own.
    """

    broadcast: bool = False
    ttl: dict[Family, int] = field(default_factory=dict)
    multicast_ttl: dict[Family, int] = field(default_factory=dict)
    multicast_loop: dict[Family, bool] = field(default_factory=dict)
    multicast_if: dict[Family, int | IPv4Address] = field(default_factory=dict)
    unicast_if: dict[Family, int] = field(default_factory=dict)
    dont_fragment: dict[Family, bool] = field(default_factory=dict)
    mtu_discover: dict[Family, int] = field(default_factory=dict)
    tos: dict[Family, int] = field(default_factory=dict)
    no_checksum: bool = False
    segment: int = 0
    v6only: bool = True
    reuse: bool = False
    values: dict[tuple[int, int], bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Socket:
    """One socket from its Open to its Close."""

    id: SocketId
    family: Family
    datagram: bool = True
    bound: Endpoint | None = None
    known: Endpoint | None = None
    remote: Endpoint | None = None
    sendto: Endpoint | None = None
    options: Options = field(default_factory=Options)

    @property
    def source_port(self) -> int:
        """The port its datagrams come from; 0 when nobody has said."""
        for endpoint in (self.bound, self.known):
            if endpoint is not None and endpoint.port:
                return endpoint.port
        return 0

    @property
    def source_address(self) -> IPv4Address | IPv6Address | None:
        """The address it is bound to, ``None`` for a wildcard."""
        if self.bound is None or int(self.bound.address) == 0:
            return None
        address = self.bound.address
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        if mapped is not None:
            return None if int(mapped) == 0 else mapped
        return address


def _number(value: bytes) -> int:
    return int.from_bytes(value[:4], "little")


def _interface4(value: bytes) -> int | IPv4Address:
    number = int.from_bytes(value[:4], "big")
    return number if number < 1 << 24 else IPv4Address(number)


def _keyed(name: str, family: Family, read: Callable[[bytes], object]) -> Callable[[Options, bytes], None]:
    def apply(options: Options, value: bytes) -> None:
        getattr(options, name)[family] = read(value)

    return apply


def _plain(name: str, read: Callable[[bytes], object]) -> Callable[[Options, bytes], None]:
    def apply(options: Options, value: bytes) -> None:
        setattr(options, name, read(value))

    return apply


def _flag(value: bytes) -> bool:
    return any(value[:4])


_APPLY: dict[tuple[int, int], Callable[[Options, bytes], None]] = {
    (opt.SOL_SOCKET, opt.SO_BROADCAST): _plain("broadcast", _flag),
    (opt.SOL_SOCKET, opt.SO_REUSEADDR): _plain("reuse", _flag),
    (opt.IPPROTO_IPV6, opt.IPV6_V6ONLY): _plain("v6only", _flag),
    (opt.IPPROTO_UDP, opt.UDP_NOCHECKSUM): _plain("no_checksum", _flag),
    (opt.IPPROTO_UDP, opt.UDP_SEND_MSG_SIZE): _plain("segment", _number),
    (opt.IPPROTO_IP, opt.IP_TOS): _keyed("tos", Family.INET, _number),
    (opt.IPPROTO_IP, opt.IP_TTL): _keyed("ttl", Family.INET, _number),
    (opt.IPPROTO_IP, opt.IP_MULTICAST_TTL): _keyed("multicast_ttl", Family.INET, _number),
    (opt.IPPROTO_IP, opt.IP_MULTICAST_LOOP): _keyed("multicast_loop", Family.INET, _flag),
    (opt.IPPROTO_IP, opt.IP_MULTICAST_IF): _keyed("multicast_if", Family.INET, _interface4),
    (opt.IPPROTO_IP, opt.IP_UNICAST_IF): _keyed("unicast_if", Family.INET, lambda v: int.from_bytes(v[:4], "big")),
    (opt.IPPROTO_IP, opt.IP_DONTFRAGMENT): _keyed("dont_fragment", Family.INET, _flag),
    (opt.IPPROTO_IP, opt.IP_MTU_DISCOVER): _keyed("mtu_discover", Family.INET, _number),
    (opt.IPPROTO_IPV6, opt.IPV6_UNICAST_HOPS): _keyed("ttl", Family.INET6, _number),
    (opt.IPPROTO_IPV6, opt.IPV6_MULTICAST_HOPS): _keyed("multicast_ttl", Family.INET6, _number),
    (opt.IPPROTO_IPV6, opt.IPV6_MULTICAST_LOOP): _keyed("multicast_loop", Family.INET6, _flag),
    (opt.IPPROTO_IPV6, opt.IPV6_MULTICAST_IF): _keyed("multicast_if", Family.INET6, _number),
    (opt.IPPROTO_IPV6, opt.IPV6_UNICAST_IF): _keyed("unicast_if", Family.INET6, _number),
    (opt.IPPROTO_IPV6, opt.IPV6_DONTFRAG): _keyed("dont_fragment", Family.INET6, _flag),
    (opt.IPPROTO_IPV6, opt.IPV6_MTU_DISCOVER): _keyed("mtu_discover", Family.INET6, _number),
    (opt.IPPROTO_IPV6, opt.IPV6_TCLASS): _keyed("tos", Family.INET6, _number),
}

_SHARED = {
    (level, name) for level in (opt.IPPROTO_IP, opt.IPPROTO_IPV6) for name in (opt.IP_DONTFRAGMENT, opt.IP_MTU_DISCOVER)
}
_UNTOLD = {(opt.IPPROTO_IP, opt.IP_MULTICAST_IF), (opt.IPPROTO_IP, opt.IP_TOS)}
_BEFORE_BIND = {(opt.SOL_SOCKET, opt.SO_REUSEADDR), (opt.IPPROTO_IPV6, opt.IPV6_V6ONLY)}
_LIMITS = {  # greatest value with a documented meaning
    (opt.IPPROTO_IP, opt.IP_TTL): (1, 255),
    (opt.IPPROTO_IPV6, opt.IPV6_UNICAST_HOPS): (1, 255),
    (opt.IPPROTO_IP, opt.IP_MULTICAST_TTL): (0, 255),
    (opt.IPPROTO_IPV6, opt.IPV6_MULTICAST_HOPS): (0, 255),
    (opt.IPPROTO_IP, opt.IP_MTU_DISCOVER): (0, 3),
    (opt.IPPROTO_IPV6, opt.IPV6_MTU_DISCOVER): (0, 3),
    (opt.IPPROTO_UDP, opt.UDP_SEND_MSG_SIZE): (0, 65535),
}


def understood(socket: Socket, level: int, name: int, value: bytes) -> bool:
    """Whether the documents say what setting this option now does here (IP_TOS as an option: "do not use")."""
    key = (level, name)
    if key not in _APPLY or len(value) != 4 or key == (opt.IPPROTO_IP, opt.IP_TOS):
        return False
    if key in _BEFORE_BIND and socket.bound is not None:
        return False
    if level == opt.IPPROTO_IPV6 and socket.family is Family.INET:
        return False
    if level == opt.IPPROTO_IP and socket.family is Family.INET6 and socket.options.v6only:
        return False
    low, high = _LIMITS.get(key, (0, 0xFFFFFFFF))
    return low <= _number(value) <= high


def apply(socket: Socket, level: int, name: int, value: bytes) -> None:
    """Let an option that was accepted take effect; one without an effect on the wire changes nothing."""
    change = _APPLY.get((level, name))
    if change is not None and value:
        change(socket.options, value)
        # What was set is what a question brings, except where one option shows through another.
        socket.options.values = {key: kept for key, kept in socket.options.values.items() if key not in _SHARED}
        if len(value) == 4 and (level, name) not in _UNTOLD:
            socket.options.values[level, name] = value

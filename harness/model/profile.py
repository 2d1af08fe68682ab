"""What differs between network stacks, as data: defaults on the wire, and the status of each situation with its mark.

A field of ``asserted`` is held against the wire; any other default is only observed and recorded, because nobody has
seen it run or the documents leave it open. A test that sets the value itself (IP_TTL, ...) makes it asserted. The same
goes for statuses: only a documented one is asserted to the letter; of the others only whether the call succeeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address

from harness.errors import UsageError
from harness.wsk import status as nt


class Mark(Enum):
    """How well a rule is known."""

    DOCUMENTED = "documented"
    MEASURED = "measured"
    INFERRED = "inferred"
    UNVERIFIED = "unverified"


class Situation(Enum):
    """A situation that decides a call's status."""

    ACCEPTED = "accepted"
    OVERSIZE = "payload larger than UDP can carry"
    TOO_BIG_FOR_DF = "larger than the MTU with fragmentation forbidden"
    UNBOUND = "socket not bound"
    NO_DESTINATION = "NULL address with nothing fixed"
    BROADCAST_DENIED = "broadcast without SO_BROADCAST"
    WRONG_FAMILY = "address of another family than the socket's"
    V6ONLY = "IPv4-mapped destination on a socket with IPV6_V6ONLY"
    INVALID_DESTINATION = "port 0 or unspecified address as destination"
    ELSEWHERE = "destination that is not reached over the NIC under test"
    UNRESOLVED = "neighbour whose MAC is not known"
    RESERVED_FLAGS = "flags that must be 0"
    CONTROL_REFUSED = "control message that the page forbids"
    CONTROL_UNKNOWN = "control message without a documented effect"
    SEGMENT_TOO_BIG = "UDP_SEND_MSG_SIZE beyond the path MTU"
    SEGMENTATION = "UDP_SEND_MSG_SIZE, which not every stack and NIC supports"
    FOREIGN_SOURCE = "source address that is not the guest's"
    PARTIAL_LIST = "WskSendMessages with a datagram that cannot be sent"
    NOT_OPEN = "socket not open"
    CATEGORY = "socket category other than datagram"
    ADDRESS_IN_USE = "local address already in use"
    LOCAL_UNBOUND = "WskGetLocalAddress on an unbound socket"
    BOUND_TWICE = "second bind"
    OPTION_UNKNOWN = "option without a documented effect here"
    SPECIAL_SOURCE = "bind to a loopback, group, link-local or broadcast address"
    PORT_SHARED = "bind to a port that another socket has with another address"
    NOTHING_TO_CLEAR = "clearing a fixed address that is not set"
    ODD_FIXED_ADDRESS = "fixed address with port 0, unspecified, or mapped on a socket with IPV6_V6ONLY"
    RECEIVE = "receive, which depends on what peers send"


@dataclass(frozen=True, slots=True)
class StatusRule:
    """Statuses that a call may complete with.

    Args:
        success: true or false when the model says whether the call succeeds, ``None`` when that is only observed.
        named: the expected statuses; asserted when ``mark`` is DOCUMENTED, otherwise recorded when they differ.
        mark: how well it is known.
        cite: where the rule comes from.
    """

    success: bool | None
    named: frozenset[int]
    mark: Mark
    cite: str

    @property
    def asserted(self) -> bool:
        """Whether a status outside ``named`` is wrong rather than worth recording."""
        return self.mark is Mark.DOCUMENTED and self.success is not None


def _rule(success: bool | None, mark: Mark, cite: str, *named: int) -> StatusRule:
    return StatusRule(success, frozenset(named), mark, cite)


_DOC, _INF, _UNV = Mark.DOCUMENTED, Mark.INFERRED, Mark.UNVERIFIED

STATUSES: Mapping[Situation, StatusRule] = {
    Situation.ACCEPTED: _rule(True, _DOC, "WDK WskSendTo: STATUS_SUCCESS", nt.SUCCESS),
    Situation.OVERSIZE: _rule(False, _INF, "RFC 768 length field; WSASendMsg: WSAEMSGSIZE", nt.INVALID_BUFFER_SIZE),
    Situation.TOO_BIG_FOR_DF: _rule(False, _INF, "WinSock IP_MTU_DISCOVER: an error", nt.INVALID_BUFFER_SIZE),
    Situation.UNBOUND: _rule(False, _INF, "WDK Binding a Socket: bound before sending", nt.INVALID_DEVICE_STATE),
    Situation.NO_DESTINATION: _rule(
        False,
        _UNV,
        "WDK WskSendTo: RemoteAddress optional only with a fixed address",
        nt.INVALID_PARAMETER,
        nt.INVALID_DEVICE_STATE,
        nt.INVALID_ADDRESS_COMPONENT,
    ),
    Situation.BROADCAST_DENIED: _rule(False, _INF, "WDK SO_BROADCAST", nt.ACCESS_DENIED),
    Situation.WRONG_FAMILY: _rule(
        False,
        _UNV,
        "WDK WskSendTo: SOCKADDR of the socket's family",
        nt.INVALID_PARAMETER,
        nt.INVALID_ADDRESS_COMPONENT,
        nt.INVALID_ADDRESS,
    ),
    Situation.V6ONLY: _rule(
        False,
        _INF,
        "WinSock Dual-Stack Sockets",
        nt.NETWORK_UNREACHABLE,
        nt.HOST_UNREACHABLE,
        nt.INVALID_ADDRESS_COMPONENT,
    ),
    Situation.INVALID_DESTINATION: _rule(
        None, _UNV, "no document", nt.INVALID_ADDRESS, nt.INVALID_ADDRESS_COMPONENT, nt.INVALID_PARAMETER
    ),
    Situation.ELSEWHERE: _rule(None, _INF, "routing", nt.SUCCESS, nt.NETWORK_UNREACHABLE, nt.HOST_UNREACHABLE),
    Situation.UNRESOLVED: _rule(None, _INF, "RFC 1122 section 2.3.2.2", nt.SUCCESS, nt.HOST_UNREACHABLE),
    Situation.RESERVED_FLAGS: _rule(None, _UNV, "WDK WskSendTo: Flags reserved, must be 0", nt.INVALID_PARAMETER),
    Situation.CONTROL_REFUSED: _rule(None, _INF, "WinSock ECN: CE not allowed", nt.INVALID_PARAMETER),
    Situation.CONTROL_UNKNOWN: _rule(
        None, _UNV, "WDK: might not be supported by all transports", nt.SUCCESS, nt.INVALID_PARAMETER, nt.NOT_SUPPORTED
    ),
    Situation.SEGMENT_TOO_BIG: _rule(
        False, _INF, "WinSock UDP_SEND_MSG_SIZE", nt.INVALID_BUFFER_SIZE, nt.INVALID_PARAMETER
    ),
    Situation.SEGMENTATION: _rule(
        None, _INF, "WinSock UDP_SEND_MSG_SIZE; msquic probes it", nt.SUCCESS, nt.INVALID_PARAMETER, nt.NOT_SUPPORTED
    ),
    Situation.FOREIGN_SOURCE: _rule(
        False, _UNV, "WinSock IP_PKTINFO", nt.INVALID_ADDRESS_COMPONENT, nt.INVALID_PARAMETER
    ),
    Situation.PARTIAL_LIST: _rule(None, _UNV, "WDK WskSendMessages: partial failure not described"),
    Situation.NOT_OPEN: _rule(False, _INF, "no call on a closed socket", nt.INVALID_HANDLE),
    Situation.CATEGORY: _rule(None, _UNV, "WDK WskSocket", nt.NOT_IMPLEMENTED),
    Situation.ADDRESS_IN_USE: _rule(
        False, _INF, "wireguard-nt", nt.ADDRESS_ALREADY_EXISTS, nt.SHARING_VIOLATION, nt.ACCESS_DENIED
    ),
    Situation.LOCAL_UNBOUND: _rule(
        False, _DOC, "WDK WskGetLocalAddress: STATUS_INVALID_DEVICE_STATE", nt.INVALID_DEVICE_STATE
    ),
    Situation.BOUND_TWICE: _rule(None, _UNV, "no document", nt.INVALID_DEVICE_STATE, nt.ADDRESS_ALREADY_ASSOCIATED),
    Situation.OPTION_UNKNOWN: _rule(None, _UNV, "no document"),
    Situation.SPECIAL_SOURCE: _rule(None, _UNV, "no document"),
    Situation.PORT_SHARED: _rule(None, _UNV, "no document"),
    Situation.NOTHING_TO_CLEAR: _rule(None, _UNV, "no document"),
    Situation.ODD_FIXED_ADDRESS: _rule(None, _UNV, "no document"),
    Situation.RECEIVE: _rule(None, _DOC, "WDK WskReceiveFrom", nt.SUCCESS, nt.CANCELLED),
}


@dataclass(frozen=True, slots=True)
class Allowance:
    """How often a stack sends a packet of a protocol by itself, for each thing that such packets are about.

    Args:
        at_once: how many may come one after another.
        per_second: how many more may come with each second that passes.
    """

    at_once: int
    per_second: float


_ALLOWANCE = Allowance(at_once=3, per_second=1.0)
"""Linux and Windows repeat a question for a MAC each second, and the host asks the guest no faster (RFC 1122, section
2.3.2.1; RFC 4861, RETRANS_TIMER)."""

_STACK = ("arp", "nd", "igmp", "mld")
_SERVICES = ("mdns", "llmnr", "nbns", "ssdp", "dhcp")
_WINDOWS_GROUPS = ("224.0.0.251", "224.0.0.252", "239.255.255.250", "ff02::fb", "ff02::1:3", "ff02::c")


@dataclass(frozen=True, slots=True)
class StackProfile:
    """One stack's habits.

    Args:
        ttl: TTL and hop limit of unicast and broadcast datagrams.
        multicast_ttl: of multicast datagrams.
        dont_fragment: DF on datagrams that fit the MTU when no option speaks of it.
        asserted: names of fields whose defaults are held against the wire: "ip.ttl", "ip.multicast_ttl",
            "ip.dont_fragment", "ip.tos", "ip.fragments", "eth.trailer".
        ephemeral_ports: where a bind to port 0 ends up.
        max_segments: most datagrams that one UDP_SEND_MSG_SIZE send may become, ``None`` without a known limit.
        v6only: whether IPV6_V6ONLY is on until it is turned off.
        background: protocols that the stack speaks without being asked, and how often.
        groups: multicast groups that it joins by itself.
        multicast_if_source: whether an address given to IP_MULTICAST_IF becomes the source of an unbound socket.
    """

    name: str
    ttl: int
    multicast_ttl: int
    dont_fragment: bool
    asserted: frozenset[str]
    ephemeral_ports: range
    max_segments: int | None = None
    multicast_if_source: bool = False
    v6only: bool = True
    statuses: Mapping[Situation, StatusRule] = field(default_factory=lambda: STATUSES)
    background: Mapping[str, Allowance] = field(default_factory=lambda: dict.fromkeys(_STACK, _ALLOWANCE))
    groups: frozenset[IPv4Address | IPv6Address] = frozenset()

    def status(self, situation: Situation) -> StatusRule:
        """The status rule of a situation."""
        return self.statuses[situation]


LINUX = StackProfile(
    name="linux",
    ttl=64,
    multicast_ttl=1,
    dont_fragment=True,
    asserted=frozenset({"ip.ttl", "ip.multicast_ttl", "ip.dont_fragment", "ip.tos", "ip.fragments", "eth.trailer"}),
    ephemeral_ports=range(32768, 61000),
    max_segments=64,
    multicast_if_source=True,
)
"""Wine's guest: a Linux stack below the WSK provider. Its wire habits were measured."""

WINDOWS = StackProfile(
    name="windows",
    ttl=128,
    multicast_ttl=1,
    dont_fragment=False,
    asserted=frozenset({"ip.tos"}),
    ephemeral_ports=range(49152, 65536),
    background=dict.fromkeys((*_STACK, *_SERVICES), _ALLOWANCE),
    groups=frozenset(map(ip_address, _WINDOWS_GROUPS)),
)
"""Windows as documented. Nothing of it has been seen on a wire yet, so its defaults are observed, not asserted."""

PROFILES: Mapping[str, StackProfile] = {profile.name: profile for profile in (LINUX, WINDOWS)}


def get(name: str) -> StackProfile:
    """The profile of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PROFILES:
        raise UsageError(f"stack profile {name!r} is not known", mend=f"use one of: {', '.join(sorted(PROFILES))}")
    return PROFILES[name]

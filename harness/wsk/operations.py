"""Defines the operations on the driver, one frozen value each, and their outcomes.

An operation names a socket by the number that the plan gave it in ``Open`` (never by the driver's handle), so a plan
can be replayed and compared. Every operation has one ``Outcome``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from ipaddress import IPv6Address

from harness.wsk.types import Address, Completion, ControlMessage, Endpoint, Family, WskBuf


class SendPath(IntEnum):
    """IRQL at which the driver calls WskSendTo: the request's own, or (FROM_DPC) DISPATCH_LEVEL by KeRaiseIrql."""

    SEND_TO = 0
    SEND_TO_FROM_DPC = 1


@dataclass(frozen=True, slots=True)
class Load:
    """Start the driver's service. The driver registers with WSK and captures the provider NPI."""


@dataclass(frozen=True, slots=True)
class Unload:
    """Stop the driver's service; afterwards its counters (``Accounts``) must balance."""


@dataclass(frozen=True, slots=True)
class Open:
    """WskSocket(family, SOCK_DGRAM, IPPROTO_UDP, category). ``category`` 4 is WSK_FLAG_DATAGRAM_SOCKET."""

    socket: int
    family: Family
    category: int = 4


@dataclass(frozen=True, slots=True)
class Bind:
    """WskBind to a local transport address; port 0 and wildcard addresses are allowed."""

    socket: int
    local: Endpoint


@dataclass(frozen=True, slots=True)
class GetLocalAddress:
    """WskGetLocalAddress; the answer is ``Outcome.endpoint``."""

    socket: int


@dataclass(frozen=True, slots=True)
class SetOption:
    """WskControlSocket(WskSetOption): ``value`` holds the option's bytes as Windows lays them out."""

    socket: int
    level: int
    name: int
    value: bytes


@dataclass(frozen=True, slots=True)
class GetOption:
    """WskControlSocket(WskGetOption) with an output buffer of ``length`` bytes; the answer is ``Outcome.data``."""

    socket: int
    level: int
    name: int
    length: int


@dataclass(frozen=True, slots=True)
class SetRemoteAddress:
    """SIO_WSK_SET_REMOTE_ADDRESS; ``None`` clears it (InputSize 0, InputBuffer NULL)."""

    socket: int
    remote: Endpoint | None


@dataclass(frozen=True, slots=True)
class SetSendToAddress:
    """SIO_WSK_SET_SENDTO_ADDRESS; ``None`` clears it."""

    socket: int
    remote: Endpoint | None


@dataclass(frozen=True, slots=True)
class SendTo:
    """WskSendTo with a buffer, an address or NULL, flags and control information.

    Args:
        wait: true waits for the completion; false leaves the IRP in flight, and ``Collect`` fetches its completion.
        reuse_irp: send with the socket's kept IRP after IoReuseIrp instead of a new one.
    """

    socket: int
    buffer: WskBuf
    remote: Endpoint | None
    flags: int = 0
    control: tuple[ControlMessage, ...] = ()
    wait: bool = True
    reuse_irp: bool = False
    path: SendPath = SendPath.SEND_TO


@dataclass(frozen=True, slots=True)
class SendMessages:
    """WskSendMessages: one call, one IRP, one datagram per buffer."""

    socket: int
    buffers: tuple[WskBuf, ...]
    remote: Endpoint | None
    flags: int = 0
    control: tuple[ControlMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class Burst:
    """``count`` sends of ``size`` bytes that the driver makes from one request, with at most ``depth`` in flight.

    Payload of datagram i: u64 little-endian sequence number ``first + i``, then bytes (j + sequence) & 0xFF for
    j from 8 on; sizes below 8 cut the sequence number. ``Outcome.completion`` sums up: information is the total
    of bytes, completions the number of completed IRPs, status the first status that was not success.
    """

    socket: int
    remote: Endpoint | None
    count: int
    size: int
    depth: int
    first: int = 0
    interval_us: int = 0


@dataclass(frozen=True, slots=True)
class Collect:
    """Wait until the sends of these steps have completed; the answer is ``Outcome.collected``, by step number."""

    socket: int
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Receive:
    """WskReceiveFrom with a deadline, after which the driver cancels the IRP; ``Outcome.completion`` shows that."""

    socket: int
    capacity: int
    wait_ms: int


@dataclass(frozen=True, slots=True)
class Close:
    """WskCloseSocket."""

    socket: int


class Calls(IntFlag):
    """Functions that a ``Force`` changes: those of WSK, or allocators of the kernel that the driver calls."""

    SOCKET = 0x01
    CLOSE = 0x02
    BIND = 0x04
    GET_LOCAL_ADDRESS = 0x08
    CONTROL = 0x10
    SEND = 0x20
    RECEIVE = 0x40
    POOL = 0x100
    IRP = 0x200
    MDL = 0x400


class Effects(IntFlag):
    """How a ``Force`` changes calls, each in a way that WSK allows (drivers/include/wskprovider_abi.h)."""

    INLINE = 0x01
    LATE = 0x02
    RAISED = 0x04
    REVERSE = 0x08
    FAIL = 0x10
    REFUSE = 0x20
    PEND = 0x40
    DEAD = 0x80


@dataclass(frozen=True, slots=True)
class Force:
    """Give the guest's WSK provider a rule that changes its behavior; only the Wine guest's provider supports it.

    Args:
        calls: ``Calls`` to which the rule applies.
        effects: ``Effects`` of the rule.
        status: NTSTATUS for FAIL.
        delay_ms: milliseconds for LATE.
        skip: number of matching calls that the rule leaves alone first.
        count: number of matching calls that the rule then changes; 0 for all.
        socket: the rule applies only to calls on this socket, which must be bound; ``None`` for any.
    """

    calls: int
    effects: int
    status: int = 0
    delay_ms: int = 0
    skip: int = 0
    count: int = 0
    socket: int | None = None


@dataclass(frozen=True, slots=True)
class Relent:
    """End every ``Force`` and complete held calls; ``Outcome.data`` counts each rule's calls, as 32-bit numbers."""


@dataclass(frozen=True, slots=True)
class PeerSend:
    """Have a host peer send a datagram to the guest."""

    source: Endpoint
    destination: Endpoint
    data: bytes


@dataclass(frozen=True, slots=True)
class Ioctl:
    """A raw IOCTL, as a hostile caller may send it, which the driver must refuse.

    Args:
        code: the control code.
        payload: the input buffer.
        capacity: bytes of the output buffer.
        refused: the NTSTATUS with which the driver must refuse it, according to the interface.
        socket: socket whose handle goes into the payload, even if closed; ``None`` leaves the payload unchanged.
    """

    code: int
    payload: bytes
    capacity: int
    refused: int
    socket: int | None = None


Operation = (
    Load
    | Unload
    | Open
    | Bind
    | GetLocalAddress
    | SetOption
    | GetOption
    | SetRemoteAddress
    | SetSendToAddress
    | SendTo
    | SendMessages
    | Burst
    | Collect
    | Receive
    | Close
    | Force
    | Relent
    | PeerSend
    | Ioctl
)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The driver's counters of what it holds; between cases all are zero, except those that only grow.

    ``sends`` and ``completed`` only grow; they are equal when no IRP is in flight. ``calls`` counts records of calls
    that no ``Collect`` has fetched; ``canaries`` counts buffers that were written beyond their end, and only grows.
    """

    irps: int = 0
    mdls: int = 0
    buffers: int = 0
    sockets: int = 0
    in_flight: int = 0
    sends: int = 0
    completed: int = 0
    calls: int = 0
    canaries: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one operation.

    Args:
        ioctl: NTSTATUS of the IOCTL itself, unsigned: 0 if the driver accepted the request.
        completion: record of the WSK call; ``None`` if the driver made no call (a refused IOCTL, load, unload).
        endpoint: the address in the reply (local address; sender of a received datagram).
        data: the bytes in the reply (option value; received payload; counts of ``Relent``).
        collected: completions that ``Collect`` fetched, by the step number of their send.
    """

    ioctl: int = 0
    completion: Completion | None = None
    endpoint: Endpoint | None = None
    data: bytes = b""
    collected: dict[int, Completion] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a plan: the ``number``-th operation of the session, executed in ``case``, and its outcome."""

    number: int
    case: str
    operation: Operation
    outcome: Outcome


_ENDPOINTS = ("remote", "destination", "local", "source")


def named_addresses(steps: Iterable[Step]) -> frozenset[Address]:
    """Return all remote and local addresses that operations name; the guest may have to resolve their MACs.

    An IPv4-mapped IPv6 address adds its IPv4 address, too.
    """
    found: set[Address] = set()
    for step in steps:
        for name in _ENDPOINTS:
            end = getattr(step.operation, name, None)
            if isinstance(end, Endpoint):
                found.add(end.address)
                mapped = end.address.ipv4_mapped if isinstance(end.address, IPv6Address) else None
                if mapped is not None:
                    found.add(mapped)
    return frozenset(found)

"""The values of a prediction: what one operation must produce, in completions and in datagrams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from harness.model.addresses import Cast
from harness.model.profile import StatusRule
from harness.wsk.types import Address, Endpoint

SocketId = tuple[int, int]
"""A socket of a plan: its number, and how many sockets of that number were opened before it."""


class ChecksumRule(Enum):
    """What the UDP checksum field must hold."""

    FULL = "full"
    NONE = "none"
    UNMENDED = "unmended"
    """As computed: where that is 0 it may stay 0, which says "no checksum" and not what RFC 768 wants (0xffff)."""


@dataclass(frozen=True, slots=True)
class ExpectedDatagram:
    """One datagram that must be on the wire.

    Args:
        operation: number of the step that sends it.
        index: place among the datagrams of that step.
        socket: the socket that sends it.
        source: port 0 when nobody knows the port yet; it is learned from the first datagram of the socket.
        sources: source addresses that are as good as ``source.address``.
        destination: as on the wire (an IPv4-mapped address is IPv4 here).
        layout: bytes of IP payload in each frame; one entry when it is not fragmented.
        free: fields that are not asserted, each with the rule that frees it.
        completed: number of the step by whose end the send had completed; datagrams of later steps must come later.
        optional: may be missing (a send whose partial failure no document describes).
        alternatives: other forms that are as good (both fixed addresses set, no address given).
    """

    operation: int
    index: int
    socket: SocketId
    source_mac: bytes
    destination_mac: bytes
    source: Endpoint
    destination: Endpoint
    payload: bytes
    ttl: int
    tos: int
    dont_fragment: bool
    checksum: ChecksumRule
    cast: Cast
    loop: bool
    layout: tuple[int, ...]
    trailer: int = 0
    sources: tuple[Address, ...] = ()
    free: Mapping[str, str] = field(default_factory=dict)
    completed: int = 0
    optional: bool = False
    alternatives: tuple[ExpectedDatagram, ...] = ()

    def __str__(self) -> str:
        port = self.source.port or "?"
        return f"{self.source.address} port {port} -> {self.destination}, {len(self.payload)} bytes"


_PATTERN = bytes(range(256)) * 257


@dataclass(frozen=True, slots=True)
class ExpectedBurst:
    """``count`` datagrams of ``size`` bytes as one object; ``template`` has all they share (and datagram 0's payload).

    Payload i: sequence number ``first + i`` as u64 little-endian, then (j + sequence) & 0xFF for j from 8 on; a size
    below 8 cuts the sequence number.
    """

    template: ExpectedDatagram
    count: int
    size: int
    first: int
    ordered: bool

    def payload(self, sequence: int) -> bytes:
        """Payload of the datagram with that sequence number."""
        return burst_payload(sequence, self.size)

    def sequence_of(self, payload: bytes) -> int | None:
        """Sequence number that a payload of the right size claims, if it is one of this burst's."""
        if len(payload) != self.size:
            return None
        if self.size < 8:
            return int.from_bytes(payload, "little")
        sequence = int.from_bytes(payload[:8], "little")
        return sequence if self.first <= sequence < self.first + self.count else None

    def copies(self, sequence: int) -> int:
        """How many datagrams of the burst look like that sequence number (more than one only when sizes cut it)."""
        if self.size >= 8:
            return int(self.first <= sequence < self.first + self.count)
        modulus = 256**self.size
        start = (sequence - self.first) % modulus
        return 0 if start >= self.count else (self.count - 1 - start) // modulus + 1


def burst_payload(sequence: int, size: int) -> bytes:
    """Payload of one datagram of a burst (see ``harness.wsk.operations.Burst``)."""
    head = (sequence & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")
    if size <= 8:
        return head[:size]
    start = (8 + sequence) & 0xFF
    return head + _PATTERN[start : start + size - 8]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one step must produce.

    Args:
        step: the step's number.
        case: the case it belongs to.
        calls: whether a WSK call is made, so that exactly one completion per IRP must be recorded.
        status: which statuses are right.
        information: ``IoStatus.Information``, bytes; ``None`` when only observed.
        completions: completion routines that must have run.
        datagrams: what must be on the wire.
        burst: many of them, as one object.
        endpoint: the local address that WskGetLocalAddress must answer; port 0 and unspecified addresses match any.
        sender: the only endpoint from which a receive may bring anything; ``None`` when any may.
        data: the bytes that the step must bring (an option's value, a received payload); ``None`` when not known.
        returned: what the WSK function must have returned; ``None`` when no document says.
        abandoned: the step's completion is never collected, because its socket closes first.
        collects: steps whose completions this one must bring.
        rules: where the prediction comes from.
    """

    step: int
    case: str
    calls: bool
    status: StatusRule
    information: int | None = None
    completions: int = 1
    datagrams: tuple[ExpectedDatagram, ...] = ()
    burst: ExpectedBurst | None = None
    endpoint: Endpoint | None = None
    sender: Endpoint | None = None
    data: bytes | None = None
    returned: int | None = None
    abandoned: bool = False
    collects: tuple[int, ...] = ()
    rules: tuple[str, ...] = ()

"""Defines the values in operations and outcomes: families, endpoints, WSK_BUFs, control messages and completions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address


class Family(IntEnum):
    """Address families with Windows' numbers (ws2def.h)."""

    INET = 2
    INET6 = 23


AF_INET = Family.INET
AF_INET6 = Family.INET6


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A transport address, as a SOCKADDR_IN or SOCKADDR_IN6 holds it.

    Args:
        address: IPv4 or IPv6 address; its class decides the SOCKADDR's family.
        port: UDP port in host order, 0 to 65535.
        scope_id: interface of a link-local or multicast IPv6 address, 0 for none.
    """

    address: Address
    port: int
    scope_id: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 0xFFFF:
            raise ValueError(f"port {self.port} is not in 0..65535")

    @property
    def family(self) -> Family:
        """Family in the SOCKADDR of this endpoint."""
        return Family.INET if isinstance(self.address, IPv4Address) else Family.INET6

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.family is Family.INET6 else str(self.address)
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Mdl:
    """One MDL of a chain: the bytes it describes and where in its first page they start (0..4095)."""

    data: bytes
    byte_offset: int = 0


@dataclass(frozen=True, slots=True)
class WskBuf:
    """A WSK_BUF: a chain of MDLs, an offset into the first of them and a length across the chain.

    Length counts bytes from ``offset``; ``None`` means all that follow. (WDK: WSK_BUF structure.)
    """

    mdls: tuple[Mdl, ...]
    offset: int = 0
    length: int | None = None

    @classmethod
    def of(cls, data: bytes) -> WskBuf:
        """Make the ordinary buffer: one MDL that holds exactly ``data``, or no MDL if ``data`` is empty."""
        return cls((Mdl(data),) if data else ())

    @property
    def size(self) -> int:
        """WSK_BUF.Length as the driver must set it."""
        return sum(len(mdl.data) for mdl in self.mdls) - self.offset if self.length is None else self.length


@dataclass(frozen=True, slots=True)
class ControlMessage:
    """One CMSGHDR with its data, unpadded; the driver adds cmsg_len and padding."""

    level: int
    type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Completion:
    """The driver's record of one WSK call; the returned status and IoStatus may differ (``harness/model/RULES.md``).

    Args:
        returned: NTSTATUS that the WSK function returned, unsigned.
        status: ``Irp->IoStatus.Status`` seen by the completion routine, unsigned.
        information: ``Irp->IoStatus.Information``; for a send its bytes.
        completions: how often the completion routine ran; for an accepted call it must be 1.
        irql: IRQL of the completion routine, 0 to 2.
        pending_returned: ``Irp->PendingReturned`` in the routine.
        in_flight: true if the IRP had not completed when the driver replied (a send without ``wait``).
    """

    returned: int
    status: int
    information: int
    completions: int
    irql: int
    pending_returned: bool
    in_flight: bool = False

"""Second layer: where a send goes, from its address, the two fixed addresses, the bind state and the socket's family.

Rules (WDK WskSendTo, SIO_WSK_SET_REMOTE_ADDRESS, SIO_WSK_SET_SENDTO_ADDRESS): an address given with the send wins, for
that send only; NULL goes to the fixed address; the socket must be bound; the address is of the socket's family. Which
of two fixed addresses wins is not documented, so both are allowed and the outcome is observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address

from harness.model.addresses import unmapped
from harness.model.profile import Situation
from harness.model.socket import Socket
from harness.wsk.types import Endpoint, Family


@dataclass(frozen=True, slots=True)
class Destination:
    """What the layer says.

    Args:
        endpoints: where the datagram goes, as on the wire; more than one when the documents leave it open.
        trouble: why it goes nowhere; empty when it goes.
        rule: citation.
    """

    endpoints: tuple[Endpoint, ...]
    trouble: tuple[Situation, ...]
    rule: str


def choose(socket: Socket, remote: Endpoint | None) -> Destination:
    """Where a send with that address (``None`` for NULL) goes."""
    trouble: list[Situation] = []
    if socket.bound is None:
        trouble.append(Situation.UNBOUND)
    fixed = tuple(dict.fromkeys(item for item in (socket.remote, socket.sendto) if item is not None))
    if remote is not None:
        given: tuple[Endpoint, ...] = (remote,)
        rule = "WDK WskSendTo: an address given wins"
    elif len(fixed) > 1:
        given, rule = fixed, "both fixed addresses set: precedence not documented"
    elif fixed:
        given = fixed
        rule = "WDK SIO_WSK_SET_REMOTE_ADDRESS / SIO_WSK_SET_SENDTO_ADDRESS: NULL goes to the fixed address"
    else:
        given, rule = (), "WDK WskSendTo: RemoteAddress optional only with a fixed address"
        trouble.append(Situation.NO_DESTINATION)
    for endpoint in given:
        trouble.extend(_wrong(socket, endpoint))
    return Destination(tuple(unmapped(item) for item in given), tuple(dict.fromkeys(trouble)), rule)


def _wrong(socket: Socket, endpoint: Endpoint) -> list[Situation]:
    if endpoint.family is not socket.family:
        return [Situation.WRONG_FAMILY]
    wrong: list[Situation] = []
    wire = unmapped(endpoint)
    if endpoint.port == 0 or int(wire.address) == 0:
        wrong.append(Situation.INVALID_DESTINATION)
    if isinstance(endpoint.address, IPv6Address):
        source = socket.source_address
        if wire.family is Family.INET:
            if socket.options.v6only or isinstance(source, IPv6Address):
                wrong.append(Situation.V6ONLY)
        elif source is not None and not isinstance(source, IPv6Address):
            wrong.append(Situation.WRONG_FAMILY)
    return wrong

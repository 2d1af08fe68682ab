"""What a receive must bring: the datagrams that host peers sent, sorted to the sockets that are bound to receive them.

Rules (WDK WskReceiveFrom, SIO_WSK_SET_REMOTE_ADDRESS, SIO_WSK_SET_SENDTO_ADDRESS): a socket receives what is sent to
its local address and port; with a fixed remote address only what comes from there, with a fixed destination all.
Two sockets that could both receive a datagram make it nobody's: the model then says nothing of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from harness.model.addresses import Cast, unmapped
from harness.model.datagram import Prediction, SocketId
from harness.model.profile import Mark, StatusRule
from harness.model.site import Site
from harness.model.socket import Socket
from harness.model.wire import cast_of
from harness.wsk import operations as op
from harness.wsk import status as nt
from harness.wsk.types import Endpoint, Family

_CITE = "WDK WskReceiveFrom"


@dataclass(slots=True)
class Inbox:
    """Datagrams that have reached sockets and were not received yet, oldest first."""

    waiting: dict[SocketId, deque[op.PeerSend]] = field(default_factory=dict)
    unsure: set[SocketId] = field(default_factory=set)

    def arrive(self, sent: op.PeerSend, sockets: Iterable[Socket], site: Site) -> None:
        """A host peer has sent a datagram to the guest."""
        takers = [socket for socket in sockets if _takes(socket, sent.destination, site)]
        if len(takers) > 1:
            self.unsure.update(socket.id for socket in takers)
        for socket in takers[:1]:
            self.waiting.setdefault(socket.id, deque()).append(sent)

    def confuse(self, to: Endpoint, sockets: Iterable[Socket], site: Site) -> None:
        """The guest sends to itself or to a group: its own sockets may get it, in an order that nobody promises."""
        if site.owns(to.address) or to.address.is_loopback or cast_of(site, to.address) is not Cast.UNICAST:
            self.unsure.update(socket.id for socket in sockets if socket.source_port == to.port)

    def close(self, socket: SocketId) -> None:
        """The socket is gone, and what waited for it too."""
        self.waiting.pop(socket, None)
        self.unsure.discard(socket)

    def receive(self, prediction: Prediction, asked: op.Receive, socket: Socket) -> Prediction:
        """What a receive on the socket must bring: the oldest datagram that may pass."""
        prediction = replace(prediction, sender=socket.remote)
        if socket.id in self.unsure:
            return prediction
        queue = self.waiting.setdefault(socket.id, deque())
        while queue:
            sent = queue.popleft()
            if socket.remote is not None and unmapped(socket.remote) != sent.source:
                continue
            return self._brings(prediction, asked, sent)
        return prediction  # nothing is known to come: the receive ends at its deadline, or with what others sent

    @staticmethod
    def _brings(prediction: Prediction, asked: op.Receive, sent: op.PeerSend) -> Prediction:
        if len(sent.data) > asked.capacity:
            rule = StatusRule(None, frozenset({nt.SUCCESS, nt.BUFFER_OVERFLOW}), Mark.UNVERIFIED, "no document")
            return replace(prediction, status=rule, sender=sent.source)
        rule = StatusRule(True, frozenset({nt.SUCCESS}), Mark.DOCUMENTED, _CITE)
        return replace(
            prediction,
            status=rule,
            sender=sent.source,
            data=sent.data,
            information=len(sent.data),
            rules=(*prediction.rules, _CITE),
        )


def _takes(socket: Socket, to: Endpoint, site: Site) -> bool:
    if socket.bound is None or socket.source_port != to.port or not site.owns(to.address):
        return False
    if socket.family is Family.INET6 and to.family is Family.INET and socket.options.v6only:
        return False
    if socket.family is Family.INET and to.family is Family.INET6:
        return False
    bound = socket.source_address
    return bound is None or bound == to.address

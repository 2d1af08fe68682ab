"""WskReceiveFrom, and what only replies tell: a fixed remote address filters what comes, a fixed destination does not.

Rules: WDK pages WskReceiveFrom, SIO_WSK_SET_REMOTE_ADDRESS, SIO_WSK_SET_SENDTO_ADDRESS; model/RULES.md 2.2. Peers send
before the driver receives, so nothing depends on who is faster.
"""

from __future__ import annotations

import pytest

from harness.api import Wire, Wsk, pattern
from harness.wsk import status as nt
from harness.wsk.types import AF_INET, AF_INET6, Family

both_families = pytest.mark.parametrize("family", [AF_INET, AF_INET6], ids=["ipv4", "ipv6"])
SHORT = 50  # milliseconds; for receives that must end empty


@both_families
@pytest.mark.parametrize("size", [0, 1, 1400, 4000])
def test_a_reply_is_received_whole(wsk: Wsk, wire: Wire, family: Family, size: int) -> None:
    """Payload and sender are what the peer sent."""
    peer = wire.peer(9000, family=family)
    with wsk.datagram_socket(family) as sock:
        wire.expect(sock.send_to(b"question", peer))
        wire.reply(peer, sock, pattern(size))
        assert sock.receive().data == pattern(size)


@both_families
def test_replies_come_in_order(wsk: Wsk, wire: Wire, family: Family) -> None:
    """The oldest datagram first, one for each receive."""
    peer = wire.peer(9000, family=family)
    with wsk.datagram_socket(family) as sock:
        for index in range(5):
            wire.reply(peer, sock, b"%d" % index)
        assert [sock.receive().data for _ in range(5)] == [b"%d" % index for index in range(5)]


@both_families
def test_fixed_destination_receives_from_anybody(wsk: Wsk, wire: Wire, family: Family) -> None:
    """SIO_WSK_SET_SENDTO_ADDRESS is about sending only: a second peer's reply is accepted."""
    friend, stranger = wire.peer(9000, family=family), wire.peer(9001, index=1, family=family)
    with wsk.datagram_socket(family) as sock:
        sock.set_sendto_address(friend)
        wire.expect(sock.send_to(b"to the friend", None))
        wire.reply(stranger, sock, b"from the stranger")
        wire.reply(friend, sock, b"from the friend")
        assert [sock.receive().data for _ in range(2)] == [b"from the stranger", b"from the friend"]


@both_families
def test_fixed_remote_receives_from_there_only(wsk: Wsk, wire: Wire, family: Family) -> None:
    """SIO_WSK_SET_REMOTE_ADDRESS drops what others send: another host, and another port of the same host."""
    friend = wire.peer(9000, family=family)
    strangers = (wire.peer(9001, index=1, family=family), wire.peer(9002, family=family))
    with wsk.datagram_socket(family) as sock:
        sock.set_remote_address(friend)
        wire.expect(sock.send_to(b"to the friend", None))
        for stranger in strangers:
            wire.reply(stranger, sock, b"from a stranger")
        wire.reply(friend, sock, b"from the friend")
        assert sock.receive().data == b"from the friend"
        assert sock.receive(wait_ms=SHORT).completion is not None


@both_families
def test_a_reply_from_the_override_address_is_dropped(wsk: Wsk, wire: Wire, family: Family) -> None:
    """With a fixed remote address even the peer of an override is a stranger."""
    fixed, other = wire.peer(9000, family=family), wire.peer(9001, index=1, family=family)
    with wsk.datagram_socket(family) as sock:
        sock.set_remote_address(fixed)
        wire.expect(sock.send_to(b"override", other))
        wire.reply(other, sock, b"dropped")
        wire.reply(fixed, sock, b"kept")
        assert sock.receive().data == b"kept"


@both_families
def test_cleared_remote_receives_from_anybody_again(wsk: Wsk, wire: Wire, family: Family) -> None:
    """After a clear the filter is gone."""
    friend, stranger = wire.peer(9000, family=family), wire.peer(9001, index=1, family=family)
    with wsk.datagram_socket(family) as sock:
        sock.set_remote_address(friend)
        sock.set_remote_address(None)
        wire.reply(stranger, sock, b"welcome again")
        assert sock.receive().data == b"welcome again"


def test_bound_to_the_secondary_address(wsk: Wsk, wire: Wire) -> None:
    """What goes to the address that the socket is bound to reaches it."""
    with wsk.datagram_socket(address=wire.guest_address(1)) as sock:
        wire.reply(wire.peer(9000), sock, b"to the second")
        assert sock.receive().data == b"to the second"


def test_a_receive_ends_at_its_deadline(wsk: Wsk, wire: Wire) -> None:
    """With nothing to receive the request is cancelled: one completion, and the socket goes on."""
    with wsk.datagram_socket() as sock:
        completion = sock.receive(wait_ms=SHORT).completion
        assert completion is not None
        assert completion.status == nt.CANCELLED
        wire.expect(sock.send_to(b"goes on", wire.peer(9000)))


def test_a_datagram_longer_than_the_buffer(wsk: Wsk, wire: Wire) -> None:
    """What is reported is observed; no byte beyond the buffer is written, and the next receive is whole."""
    with wsk.datagram_socket() as sock:
        wire.reply(wire.peer(9000), sock, pattern(100))
        wire.reply(wire.peer(9000), sock, b"next")
        assert len(sock.receive(capacity=10).data) <= 10
        assert sock.receive().data == b"next"


def test_two_sockets_receive_their_own(wsk: Wsk, wire: Wire) -> None:
    """Each gets what its port was sent."""
    with wsk.datagram_socket() as one, wsk.datagram_socket() as two:
        wire.reply(wire.peer(9000), two, b"for two")
        wire.reply(wire.peer(9000), one, b"for one")
        assert (one.receive().data, two.receive().data) == (b"for one", b"for two")


def test_receive_before_bind(wsk: Wsk, wire: Wire) -> None:
    """An unbound socket receives nothing: an error."""
    with wsk.datagram_socket(bind=False) as sock:
        sock.receive(wait_ms=SHORT)
        sock.bind()
        wire.expect(sock.send_to(b"bound", wire.peer(9000)))

"""WskSendMessages: one call, one IRP, a datagram for each WSK_BUF of the list; and bursts that the driver makes itself.

Rules: WDK page WskSendMessages; model/RULES.md 2.1. No document says in which order the datagrams leave, nor what
WSK does with a list of which one entry cannot be sent; both are recorded as observations.
"""

from __future__ import annotations

import pytest

from harness.api import Wire, Wsk, pattern
from harness.wsk import options as opt
from harness.wsk.types import AF_INET, AF_INET6, Family, Mdl, WskBuf

both_families = pytest.mark.parametrize("family", [AF_INET, AF_INET6], ids=["ipv4", "ipv6"])


@both_families
@pytest.mark.parametrize("count", [1, 2, 3, 64])
def test_as_many_datagrams_as_buffers(wsk: Wsk, wire: Wire, family: Family, count: int) -> None:
    """Head, middle and tail of the list; Information is the sum."""
    with wsk.datagram_socket(family) as sock:
        messages = [pattern(20 + index, index) for index in range(count)]
        sent = sock.send_messages(messages, wire.peer(9000, family=family))
        wire.expect(sent)
        assert sent.information == sum(map(len, messages))


def test_equal_messages(wsk: Wsk, wire: Wire) -> None:
    """The same bytes three times are three datagrams."""
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_messages([b"same", b"same", b"same"], wire.peer(9000)))


def test_empty_messages_in_the_list(wsk: Wsk, wire: Wire) -> None:
    """A buffer of no bytes is an empty datagram, wherever it stands."""
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_messages([b"", b"first", b"", b"last", b""], wire.peer(9000)))


def test_large_messages_in_the_list(wsk: Wsk, wire: Wire) -> None:
    """Each is fragmented by itself, under an identification of its own."""
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_messages([pattern(3000, 1), b"small", pattern(2000, 2)], wire.peer(9000)))


def test_chains_and_offsets_in_the_list(wsk: Wsk, wire: Wire) -> None:
    """Every WSK_BUF has its own chain, offset and length."""
    chain = (Mdl(pattern(30, 1), 4090), Mdl(pattern(30, 2), 7))
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_messages([WskBuf(chain, 5, 40), b"plain", WskBuf(chain, 29)], wire.peer(9000)))


def test_one_control_information_for_all(wsk: Wsk, wire: Wire) -> None:
    """ControlInfo of the call holds for every datagram of it."""
    with wsk.datagram_socket() as sock:
        control = [opt.tos(0x88), opt.pktinfo(wire.guest_address(1))]
        wire.expect(sock.send_messages([b"one", b"two", b"three"], wire.peer(9000), control=control))


def test_list_to_the_fixed_address(wsk: Wsk, wire: Wire) -> None:
    """NULL sends all of the list to the fixed address."""
    with wsk.datagram_socket() as sock:
        sock.set_sendto_address(wire.peer(9000))
        wire.expect(sock.send_messages([b"one", b"two"], None))


def test_list_with_one_too_large(wsk: Wsk, wire: Wire) -> None:
    """What becomes of the others is observed; afterwards the socket works."""
    with wsk.datagram_socket() as sock:
        sock.send_messages([b"before", pattern(65508), b"after"], wire.peer(9000))
        wire.expect(sock.send_to(b"still works", wire.peer(9000)))


def test_list_on_an_unbound_socket(wsk: Wsk, wire: Wire) -> None:
    """An error, and none of them leaves."""
    with wsk.datagram_socket(bind=False) as sock:
        wire.expect_nothing(sock.send_messages([b"one", b"two"], wire.peer(9000)))


@pytest.mark.parametrize(("count", "size", "depth"), [(1, 8, 1), (100, 64, 1), (200, 100, 32), (20, 3000, 8)])
def test_burst(wsk: Wsk, wire: Wire, count: int, size: int, depth: int) -> None:
    """Numbered datagrams, at most ``depth`` in flight: each once, and in order when one at a time."""
    with wsk.datagram_socket() as sock:
        wire.expect(sock.burst(wire.peer(9000), count=count, size=size, depth=depth))


def test_burst_to_nowhere(wsk: Wsk, wire: Wire) -> None:
    """A burst of errors: every IRP completes, nothing leaves, nothing is lost."""
    with wsk.datagram_socket() as sock:
        wire.expect_nothing(sock.burst(None, count=50, size=32, depth=8))
        wire.expect(sock.burst(wire.peer(9000), count=50, size=32, depth=8))

"""IRPs and completions: one per send, in flight together, across sockets, with a fresh or a kept IRP.

Rules: WDK page "Using IRPs with Winsock Kernel Functions"; model/RULES.md 1.3, 1.4.
"""

from __future__ import annotations

from harness.api import Wire, Wsk, pattern
from harness.wsk.operations import SendPath
from harness.wsk.types import AF_INET, AF_INET6, Mdl, WskBuf


def test_500_sends_with_32_in_flight(wsk: Wsk, wire: Wire) -> None:
    """Every datagram once, every IRP completed once, nothing left."""
    with wsk.datagram_socket() as sock:
        sent = sock.send_many(
            [pattern(64, index) + index.to_bytes(4) for index in range(500)], wire.peer(9000), depth=32
        )
        wire.expect(*sent)


def test_two_sockets_interleaved(wsk: Wsk, wire: Wire) -> None:
    """Sends of two sockets with different ports do not mix."""
    with wsk.datagram_socket(port=5010) as one, wsk.datagram_socket(port=5011) as two:
        for index in range(20):
            wire.expect(
                one.send_to(b"one %d" % index, wire.peer(9000)), two.send_to(b"two %d" % index, wire.peer(9001))
            )


def test_two_families_interleaved(wsk: Wsk, wire: Wire) -> None:
    """An IPv4 and an IPv6 socket with the same port number side by side."""
    with wsk.datagram_socket(AF_INET, port=5012) as four, wsk.datagram_socket(AF_INET6, port=5012) as six:
        for index in range(10):
            wire.expect(four.send_to(b"four %d" % index, wire.peer(9000)))
            wire.expect(six.send_to(b"six %d" % index, wire.peer(9000, family=AF_INET6)))


def test_in_flight_on_two_sockets(wsk: Wsk, wire: Wire) -> None:
    """Sends in flight on two sockets at once; each is collected where it was sent."""
    with wsk.datagram_socket() as one, wsk.datagram_socket() as two:
        sent = [
            sock.send_to(b"%d" % index, wire.peer(9000 + index), wait=False)
            for index in range(8)
            for sock in (one, two)
        ]
        one.collect()
        two.collect()
        wire.expect(*sent)


def test_reused_irp(wsk: Wsk, wire: Wire) -> None:
    """The socket's kept IRP carries one send after another, after IoReuseIrp each time."""
    with wsk.datagram_socket() as sock:
        for index in range(5):
            wire.expect(sock.send_to(b"reused %d" % index, wire.peer(9000), reuse_irp=True))


def test_error_then_success(wsk: Wsk, wire: Wire) -> None:
    """A failed send leaves nothing behind that disturbs the next."""
    with wsk.datagram_socket() as sock:
        for index in range(3):
            wire.expect_nothing(sock.send_to(b"nowhere", None))
            wire.expect(sock.send_to(b"somewhere %d" % index, wire.peer(9000)))


def test_sends_from_raised_irql(wsk: Wsk, wire: Wire) -> None:
    """WskSendTo may be called at DISPATCH_LEVEL: fresh and kept IRPs, one and several MDLs."""
    buffer = WskBuf((Mdl(pattern(100), 4090), Mdl(pattern(50, 1), 5)))
    with wsk.datagram_socket() as sock:
        for index in range(6):
            data = buffer if index % 2 else b"raised %d" % index
            sent = sock.send_to(data, wire.peer(9000), path=SendPath.SEND_TO_FROM_DPC, reuse_irp=index > 3)
            wire.expect(sent)


def test_close_with_sends_in_flight(wsk: Wsk, wire: Wire) -> None:
    """Nobody collects: the close cancels what is pending, and every IRP comes back."""
    for _ in range(3):
        sock, _step = wsk.open()
        sock.bind()
        for index in range(16):
            sock.send_to(b"%d" % index, wire.peer(9000), wait=False)
        sock.close()


def test_collected_out_of_step(wsk: Wsk, wire: Wire) -> None:
    """Sends with and without wait in turn on one socket; completions find their own."""
    with wsk.datagram_socket() as sock:
        for index in range(10):
            wire.expect(sock.send_to(b"late %d" % index, wire.peer(9000), wait=False))
            wire.expect(sock.send_to(b"now %d" % index, wire.peer(9000)))
        assert all(sent.information for sent in sock.collect())

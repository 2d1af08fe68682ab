"""Sockets and the driver itself come and go: close and open again, unload and load again.

Rules: WDK pages "Closing a Socket", "Unregistering a Winsock Kernel Application"; model/RULES.md 1.2.
"""

from __future__ import annotations

from harness.api import Wire, Wsk


def test_sockets_opened_and_closed_in_turn(wsk: Wsk, wire: Wire) -> None:
    """Twenty sockets one after another, each used once."""
    for index in range(20):
        with wsk.datagram_socket() as sock:
            wire.expect(sock.send_to(b"socket %d" % index, wire.peer(9000)))


def test_sockets_open_at_once(wsk: Wsk, wire: Wire) -> None:
    """Eight sockets side by side have eight ports."""
    sockets = []
    for _ in range(8):
        sock, _step = wsk.open()
        sock.bind()
        sockets.append(sock)
    for sock in sockets:
        wire.expect(sock.send_to(b"one of eight", wire.peer(9000)))
    assert len({sock.local.port for sock in sockets if sock.local}) == 8
    for sock in sockets:
        sock.close()


def test_port_is_free_after_close(wsk: Wsk, wire: Wire) -> None:
    """A closed socket gives its port back at once."""
    for index in range(3):
        with wsk.datagram_socket(port=5020) as sock:
            wire.expect(sock.send_to(b"again %d" % index, wire.peer(9000)))


def test_unload_and_load_again(wsk: Wsk, wire: Wire) -> None:
    """The driver deregisters, unloads, loads and sends again."""
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"before", wire.peer(9000)))
    wsk.unload()
    wsk.load()
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"after", wire.peer(9000)))

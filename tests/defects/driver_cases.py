"""Cases that only a defect of the driver needs: a good driver passes them, as it passes the suite."""

from __future__ import annotations

from harness.api import Wire, Wsk


def test_unload_with_a_socket_open(wsk: Wsk, wire: Wire) -> None:
    """The driver closes what its opener left open, and waits for it, before it unloads."""
    sock, _ = wsk.open()
    sock.bind()
    wire.expect(sock.send_to(b"before", wire.peer(9000)))
    wsk.unload()
    wsk.load()

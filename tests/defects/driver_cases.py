"""Cases that only a defect of the driver needs: a good driver passes them, as it passes the suite."""

from __future__ import annotations

from harness.api import Wire, Wsk
from harness.wsk.operations import Calls, Effects, Force


def test_unload_with_a_socket_open(wsk: Wsk, wire: Wire) -> None:
    """The driver closes what its opener left open, and waits for it, however late that completes, before it unloads."""
    sock, _ = wsk.open()
    sock.bind()
    wire.expect(sock.send_to(b"before", wire.peer(9000)))
    wsk._recorder.execute(
        Force(Calls.CLOSE, Effects.LATE, delay_ms=1500)
    )  # ends with the provider, which the unload takes along
    wsk.unload()
    wsk.load()

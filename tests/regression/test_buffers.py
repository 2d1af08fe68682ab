"""WSK_BUF: MDL chains, offsets into the first MDL, lengths across the chain, starts anywhere in a page.

Rules: WDK page of WSK_BUF; model/RULES.md 2.6.
"""

from __future__ import annotations

import pytest

from harness.api import Wire, Wsk, pattern
from harness.wsk.types import Mdl, WskBuf


def chain(*sizes: int) -> tuple[Mdl, ...]:
    return tuple(Mdl(pattern(size, seed)) for seed, size in enumerate(sizes))


@pytest.mark.parametrize(
    "sizes",
    [(1, 1), (8, 8, 8), (1, 4096, 1), (1472,), (700, 772), (4096, 4096), (1, 2, 3, 4, 5, 6, 7, 8)],
    ids=lambda sizes: "+".join(map(str, sizes)),
)
def test_chain_is_one_datagram(wsk: Wsk, wire: Wire, sizes: tuple[int, ...]) -> None:
    """All bytes of all MDLs, in order, in one datagram."""
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(WskBuf(chain(*sizes)), wire.peer(9000)))


@pytest.mark.parametrize("offset", [1, 7, 63])
def test_offset_into_the_first_mdl(wsk: Wsk, wire: Wire, offset: int) -> None:
    """The payload starts at Offset; 63 is the last byte of the first MDL."""
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(WskBuf(chain(64, 32), offset=offset), wire.peer(9000)))
        wire.expect(sock.send_to(WskBuf(chain(64), offset=offset), wire.peer(9000)))


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 63])
def test_length_short_of_the_chain(wsk: Wsk, wire: Wire, length: int) -> None:
    """The payload ends after Length bytes, within the first MDL, at its end, or behind it."""
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(WskBuf(chain(32, 32), offset=0, length=length), wire.peer(9000)))


def test_offset_and_length_together(wsk: Wsk, wire: Wire) -> None:
    """A window in the middle of a chain of three."""
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(WskBuf(chain(10, 10, 10), offset=5, length=20), wire.peer(9000)))


@pytest.mark.parametrize("start", [1, 4000, 4095])
def test_mdl_that_starts_inside_a_page(wsk: Wsk, wire: Wire, start: int) -> None:
    """MDL.ByteOffset is honoured, across page borders too."""
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(WskBuf((Mdl(pattern(200), start), Mdl(pattern(300, 1), start))), wire.peer(9000)))


def test_no_byte_beyond_the_length(wsk: Wsk, wire: Wire) -> None:
    """Sizes around the buffer's end, so that a byte too many or too few shows."""
    with wsk.datagram_socket() as sock:
        for size in (1, 2, 3, 4, 5, 15, 16, 17):
            wire.expect(sock.send_to(pattern(size, size), wire.peer(9000)))

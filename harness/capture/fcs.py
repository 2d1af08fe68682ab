"""How many bytes of a captured Ethernet frame are its frame check sequence, as a capture file says.

IEEE Std 802.3 clause 3.2.9: four bytes. A file may say another number; then, as in Wireshark, of more than four the
last four are the check sequence, and of fewer none is, so that what is left over shows as a trailer.
"""

from __future__ import annotations

from harness.capture import links

LENGTH = 4
_LEAST_BITS = 8


def of_bytes(count: int) -> int:
    """The check sequence of a file that says ``count`` bytes."""
    return LENGTH if count >= LENGTH else 0


def of_option(value: bytes) -> int:
    """The check sequence by pcapng's ``if_fcslen``: bits in the draft, and bytes in many files, which are below 8."""
    if len(value) != 1:
        return 0
    return of_bytes(value[0] if value[0] < _LEAST_BITS else value[0] // 8)


def of_packet(of_interface: int, flags: int) -> int:
    """The check sequence by pcapng's ``epb_flags`` (bits 5 to 8, in bytes), or the interface's where they are 0."""
    count = flags >> 5 & 0x0F
    return of_bytes(count) if count else of_interface


def of_link_field(field: int) -> int:
    """The check sequence by the link type field of pcap's file header: bit 26 says that bits 28 to 31 count 16 bits."""
    return of_bytes((field >> 28) * 2) if field & 0x04000000 else 0


def without(fcs: int, link: int, captured: int, original: int) -> tuple[int, int, int]:
    """Captured and original length of a frame without its check sequence, and the bytes of that."""
    if not fcs or link != links.ETHERNET or original < fcs:
        return captured, original, 0
    return min(captured, original - fcs), original - fcs, fcs

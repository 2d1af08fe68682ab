"""One expected datagram against one seen: every asserted field that differs, in words a person can act on."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.addresses import mac_text
from harness.model.checksum import udp_checksum
from harness.model.datagram import ChecksumRule, ExpectedDatagram
from harness.verify import wrong
from harness.verify.seen import ChecksumState, SeenDatagram, address_text
from harness.verify.verdict import Observation

SUPER_FRAME = "eth.length"
_SUPER_CAUSE = "segmentation offload, or a bridge that reassembles (bridge-nf-call-iptables): turn it off"
_CONTEXT = 4
_CAUSES_FIRST = (
    "ip.version_ihl", "ip.destination", "udp.destination_port", "ip.source", "udp.source_port", "ip.length",
    "udp.length", "udp.payload", "eth.vlan", "eth.source", "eth.destination", "ip.ttl", "ip.tos", "ip.dont_fragment",
    "ip.fragments", "eth.trailer", "ip.header_checksum", "udp.checksum",
)  # fmt: skip
_RANK = {name: rank for rank, name in enumerate(_CAUSES_FIRST)}
_WATCHED = ("ip.ttl", "ip.tos", "ip.dont_fragment", "ip.fragments", "eth.trailer")


@dataclass(frozen=True, slots=True)
class Difference:
    """One asserted field that differs."""

    field: str
    expected: str
    seen: str
    detail: str = ""


class Form:
    """One form of an expected datagram, its addresses packed once for comparing."""

    __slots__ = ("destination", "expected", "source", "sources", "watched")

    def __init__(self, expected: ExpectedDatagram) -> None:
        self.expected = expected
        self.destination = expected.destination.address.packed
        self.source = expected.source.address.packed
        self.sources = (self.source, *(item.packed for item in expected.sources))
        self.watched = tuple(name for name in _WATCHED if name in expected.free)


class Slot:
    """One expected datagram, with the forms it may take and what was found for it."""

    __slots__ = ("expected", "forms", "payload", "seen")

    def __init__(self, expected: ExpectedDatagram, payload: bytes | None = None) -> None:
        self.expected = expected
        self.payload = expected.payload if payload is None else payload
        self.forms = tuple(Form(item) for item in (expected, *expected.alternatives))
        self.seen: SeenDatagram | None = None


def equal(form: Form, seen: SeenDatagram, port: int, payload: bytes) -> bool:
    """Whether nothing asserted differs; the partial checksum is left to the caller.

    Args:
        form: what is expected.
        seen: what was captured.
        port: the source port, 0 for any.
        payload: the payload expected (a burst's differ from datagram to datagram).
    """
    expected = form.expected
    free = expected.free
    return (
        seen.payload == payload
        and seen.destination == form.destination
        and seen.destination_port == expected.destination.port
        and seen.source in form.sources
        and (port in (0, seen.source_port))
        and seen.source_mac == expected.source_mac
        and seen.destination_mac == expected.destination_mac
        and (seen.ttl == expected.ttl or "ip.ttl" in free)
        and (seen.tos == expected.tos or "ip.tos" in free)
        and (seen.dont_fragment == expected.dont_fragment or "ip.dont_fragment" in free)
        and (seen.layout == expected.layout or ("ip.fragments" in free and not is_super_frame(expected, seen)))
        and (len(seen.trailer) == expected.trailer or "eth.trailer" in free)
        and (not seen.trailer or not any(seen.trailer) or "eth.trailer" in free)
        and _checksum_fits(expected, seen)
    )


def is_super_frame(expected: ExpectedDatagram, seen: SeenDatagram) -> bool:
    """Whether one frame larger than the MTU carries what must be fragmented: never cut, or put together again."""
    return len(seen.layout) == 1 < len(expected.layout) and seen.layout[0] > expected.layout[0]


def _checksum_fits(expected: ExpectedDatagram, seen: SeenDatagram) -> bool:
    state = seen.checksum_state
    if expected.checksum is ChecksumRule.NONE:
        return state is ChecksumState.ZERO
    if state is ChecksumState.ZERO and expected.checksum is ChecksumRule.UNMENDED:
        return _right_checksum(seen) == 0xFFFF
    return state is ChecksumState.GOOD or state is ChecksumState.PARTIAL


def differences(form: Form, seen: SeenDatagram, port: int, payload: bytes) -> list[Difference]:
    """Every asserted field that differs, the likeliest cause first (checksums last, as they follow from the others)."""
    out = _identity(form, seen, port, payload)
    out.extend(_header(form.expected, seen))
    out.extend(Difference(item.field, item.expected, item.seen, item.detail) for item in seen.problems)
    out.extend(_trailer(form.expected, seen))
    if not _checksum_fits(form.expected, seen) and seen.checksum_state is not ChecksumState.UNKNOWN:
        out.append(_checksum(form.expected, seen))
    return sorted(out, key=lambda item: _RANK.get(item.field, len(_RANK) // 2))


def _identity(form: Form, seen: SeenDatagram, port: int, payload: bytes) -> list[Difference]:
    """Differences in endpoints, payload and MACs."""
    expected = form.expected
    out: list[Difference] = []
    if seen.destination != form.destination:
        out.append(_address("ip.destination", form.destination, seen.destination))
    if seen.headed and seen.destination_port != expected.destination.port:
        out.append(_port("udp.destination_port", expected.destination.port, seen.destination_port))
    if seen.source not in form.sources:
        out.append(_address("ip.source", form.source, seen.source))
    if seen.headed and port not in (0, seen.source_port):
        out.append(_port("udp.source_port", port, seen.source_port))
    if seen.complete and seen.payload != payload:
        out.append(payload_difference(payload, seen.payload))
    if seen.source_mac != expected.source_mac:
        out.append(Difference("eth.source", mac_text(expected.source_mac), mac_text(seen.source_mac)))
    if seen.destination_mac != expected.destination_mac:
        out.append(Difference("eth.destination", mac_text(expected.destination_mac), mac_text(seen.destination_mac)))
    return out


def _header(expected: ExpectedDatagram, seen: SeenDatagram) -> list[Difference]:
    """Differences in the IP header and in the fragments."""
    free = expected.free
    out: list[Difference] = []
    if seen.ttl != expected.ttl and "ip.ttl" not in free:
        out.append(Difference("ip.ttl", str(expected.ttl), str(seen.ttl)))
    if seen.tos != expected.tos and "ip.tos" not in free:
        out.append(Difference("ip.tos", f"0x{expected.tos:02x}", f"0x{seen.tos:02x}"))
    if seen.dont_fragment != expected.dont_fragment and "ip.dont_fragment" not in free:
        out.append(Difference("ip.dont_fragment", str(int(expected.dont_fragment)), str(int(seen.dont_fragment))))
    same_size = sum(seen.layout) == sum(expected.layout)
    if is_super_frame(expected, seen):
        out.append(Difference(SUPER_FRAME, layout_text(expected.layout), "one frame larger than the MTU", _SUPER_CAUSE))
    elif seen.complete and same_size and seen.layout != expected.layout and "ip.fragments" not in free:
        out.append(Difference("ip.fragments", layout_text(expected.layout), layout_text(seen.layout)))
    return out


def observations(form: Form, seen: SeenDatagram) -> list[Observation]:
    """Values of fields that are not asserted because nobody has verified the default."""
    expected, free = form.expected, form.expected.free
    values = {
        "ip.ttl": (str(expected.ttl), str(seen.ttl)),
        "ip.tos": (f"0x{expected.tos:02x}", f"0x{seen.tos:02x}"),
        "ip.dont_fragment": (str(int(expected.dont_fragment)), str(int(seen.dont_fragment))),
        "ip.fragments": (layout_text(expected.layout), layout_text(seen.layout)),
        "eth.trailer": (f"{expected.trailer} bytes", f"{len(seen.trailer)} bytes"),
    }
    return [
        Observation(expected.operation, name, *values[name], free[name])
        for name in form.watched
        if name not in ("ip.fragments", "eth.trailer") or values[name][0] != values[name][1]
    ]


def layout_text(layout: tuple[int, ...]) -> str:
    """A fragment layout in words."""
    if len(layout) == 1:
        return "one frame"
    if len(layout) > 2 and len(set(layout[:-1])) == 1:
        return f"{len(layout)} fragments, {len(layout) - 1} of {layout[0]} bytes and one of {layout[-1]}"
    return (
        f"{len(layout)} fragments of "
        + ", ".join(map(str, layout[:8]))
        + (" ..." if len(layout) > 8 else "")
        + " bytes"
    )


def _address(name: str, expected: bytes, seen: bytes) -> Difference:
    detail = "bytes swapped" if seen == expected[::-1] else ""
    return Difference(name, address_text(expected), address_text(seen), detail)


def _port(name: str, expected: int, seen: int) -> Difference:
    swapped = (expected & 0xFF) << 8 | expected >> 8
    return Difference(name, str(expected), str(seen), "bytes swapped" if seen == swapped else "")


def payload_difference(expected: bytes, seen: bytes) -> Difference:
    """How two payloads differ: length, first differing byte, context, and the shape of the damage if it has one."""
    shared = min(len(expected), len(seen))
    at = wrong.first(expected, seen)
    parts: list[str] = []
    if at < shared:
        parts.append(f"first differing byte {at}, {wrong.count(expected, seen)} of {shared} differ")
        shift = seen.find(expected[:16]) if len(expected) >= 4 else -1
        back = expected.find(seen[:16]) if len(seen) >= 4 else -1
        if shift > 0:
            parts.append(f"the expected bytes start {shift} bytes later")
        elif back > 0:
            parts.append(f"the first {back} bytes are missing")
    elif len(seen) < len(expected):
        parts.append(
            f"the last {len(expected) - len(seen)} of {len(expected)} bytes are missing: {_tail(expected, at)}"
        )
    else:
        parts.append(f"{len(seen) - len(expected)} bytes too many: {_tail(seen, at)}")
    if len(expected) != len(seen):
        if at < shared:
            parts.append(f"expected {_context(expected, at)}, seen {_context(seen, at)}")
        return Difference("udp.payload", f"{len(expected)} bytes", f"{len(seen)} bytes", "; ".join(parts))
    return Difference("udp.payload", _context(expected, at), _context(seen, at), "; ".join(parts))


def _context(data: bytes, at: int) -> str:
    before, after = data[max(0, at - _CONTEXT) : at], data[at + 1 : at + 1 + _CONTEXT]
    parts = [before.hex(" "), f"[{data[at]:02x}]", after.hex(" ")]
    return " ".join(part for part in parts if part)


def _tail(data: bytes, at: int) -> str:
    return data[at : at + 8].hex(" ") + (" ..." if len(data) - at > 8 else "")


def _trailer(expected: ExpectedDatagram, seen: SeenDatagram) -> list[Difference]:
    if "eth.trailer" in expected.free:
        return []
    out: list[Difference] = []
    if len(seen.trailer) != expected.trailer:
        out.append(Difference("eth.trailer", f"{expected.trailer} bytes of padding", f"{len(seen.trailer)} bytes"))
    elif any(seen.trailer):
        out.append(Difference("eth.trailer", "zeros", seen.trailer.hex(" "), "padding carries other bytes"))
    return out


def _right_checksum(seen: SeenDatagram) -> int:
    head = seen.source_port.to_bytes(2, "big") + seen.destination_port.to_bytes(2, "big")
    length = (8 + len(seen.payload)).to_bytes(2, "big")
    return udp_checksum(seen.source, seen.destination, head + length + b"\x00\x00" + seen.payload)


def _checksum(expected: ExpectedDatagram, seen: SeenDatagram) -> Difference:
    shown = f"0x{seen.checksum:04x}"
    if expected.checksum is ChecksumRule.NONE:
        return Difference("udp.checksum", "0x0000", shown, "UDP_NOCHECKSUM is set")
    right = _right_checksum(seen)
    detail = "no checksum, which IPv6 forbids" if seen.checksum == 0 and len(seen.source) == 16 else ""
    return Difference("udp.checksum", f"0x{right:04x}", shown, detail)

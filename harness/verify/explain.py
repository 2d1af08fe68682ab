"""Says for people what a finding means: expected and seen packet side by side, in words and in bytes.

Pure: it is given the frame, the prediction and, where there is one, tshark's text; it reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.capture.frames import CapturedFrame
from harness.model.addresses import mac_text
from harness.model.datagram import ChecksumRule, ExpectedDatagram, Prediction
from harness.model.frames import ChecksumField, Packet, encode
from harness.verify.compare import Form, differences, layout_text
from harness.verify.parse import dissect
from harness.verify.seen import SeenDatagram, address_text
from harness.verify.verdict import Finding, Verdict
from harness.wsk.types import Endpoint, Family

_ROW = 16
_MOST_ROWS = 12
_AROUND = 2  # rows of bytes shown before the first that differs
_ANY = "any"


@dataclass(frozen=True, slots=True)
class Line:
    """One field of both packets; ``same`` is true for a field that agrees or is not asserted."""

    name: str
    expected: str
    seen: str
    same: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """A finding made plain.

    Args:
        finding: what it explains.
        fields: the packets field by field.
        expected, seen: bytes of both frames, empty where there is none.
        first: offset of the first differing byte of the frame, ``None`` when nothing differs or one is missing.
        wireshark: how to look at the frame in Wireshark; empty without a frame.
        rules: where the expectation comes from.
        tshark: tshark's text on the frame, empty without.
    """

    finding: Finding
    fields: tuple[Line, ...] = ()
    expected: bytes = b""
    seen: bytes = b""
    first: int | None = None
    wireshark: str = ""
    rules: tuple[str, ...] = ()
    tshark: str = ""


def explain(
    finding: Finding,
    predictions: Iterable[Prediction],
    frame: CapturedFrame | None,
    capture: Path,
    tshark: str = "",
) -> Explanation:
    """Explain a finding.

    Args:
        finding: what was found.
        predictions: the model's, among them that of the finding's step.
        frame: the frame that the finding speaks of, ``None`` when there is none (or it was not kept).
        capture: the capture file, for the words on how to open it.
        tshark: tshark's dissection of the frame as text.
    """
    prediction = next((item for item in predictions if item.step == finding.operation), None)
    seen = _seen(frame)
    expected = _nearest(prediction, seen) if prediction is not None else None
    rules = tuple(rule for rule in prediction.rules if rule) if prediction is not None else ()
    wireshark = _wireshark(finding, frame, seen, capture, expected)
    if expected is None:
        shown = frame.data if frame is not None else b""
        return Explanation(finding, _alone(seen), b"", shown, None, wireshark, rules, tshark)
    if frame is not None and seen is not None and len(seen.layout) > 1:
        frame = None  # one fragment tells little beside a whole datagram
    packet = _packet(expected, seen)
    wanted = encode(packet)[0] if len(expected.layout) == 1 else b""
    wanted += bytes(expected.trailer) if wanted else b""
    got = frame.data if frame is not None else b""
    first = _first_difference(wanted, got) if wanted and got else None
    return Explanation(finding, _fields(expected, seen, finding), wanted, got, first, wireshark, rules, tshark)


def worth_explaining(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that an explanation adds to, one for each datagram."""
    out: list[Finding] = []
    known: set[tuple[object, ...]] = set()
    for item in findings:
        if item.field.startswith(("completion", "accounts")) or (item.frame is None and item.operation is None):
            continue
        key = (item.frame,) if item.frame is not None else (item.operation, item.expected, item.field)
        if key not in known:
            known.add(key)
            out.append(item)
    return out


def text(explanation: Explanation) -> str:
    """The explanation as lines of text."""
    finding = explanation.finding
    out = [finding.line()]
    if explanation.fields:
        width = max(len(line.name) for line in explanation.fields)
        left = max(8, *(len(line.expected) for line in explanation.fields))
        out.append(f"    {'':{width}}  {'expected':{left}}  seen")
        for line in explanation.fields:
            out.append(f"  {' ' if line.same else '>'} {line.name:{width}}  {line.expected:{left}}  {line.seen}")
    if explanation.expected or explanation.seen:
        out += _bytes(explanation)
    out += [f"  rule: {rule}" for rule in explanation.rules]
    if explanation.wireshark:
        out.append(f"  look: {explanation.wireshark}")
    if explanation.tshark:
        out.append("  tshark says:")
        out += [f"    {line}" for line in explanation.tshark.splitlines()]
    return "\n".join(out)


def _seen(frame: CapturedFrame | None) -> SeenDatagram | None:
    if frame is None:
        return None
    datagrams = dissect([frame]).datagrams
    return datagrams[0] if datagrams else None


def _nearest(prediction: Prediction, seen: SeenDatagram | None) -> ExpectedDatagram | None:
    """Which of a step's datagrams, in which form, the frame was meant to be."""
    candidates = [form for item in prediction.datagrams for form in (item, *item.alternatives)]
    burst = prediction.burst
    if burst is not None:
        sequence = burst.sequence_of(seen.payload) if seen is not None else None
        payload = burst.payload(burst.first if sequence is None else sequence)
        candidates.append(replace(burst.template, payload=payload))
    if seen is None or len(candidates) < 2:
        return candidates[0] if candidates else None
    return min(candidates, key=lambda item: len(differences(Form(item), seen, item.source.port, item.payload)))


def _packet(expected: ExpectedDatagram, seen: SeenDatagram | None) -> Packet:
    """The packet that was expected; what is free is taken from the seen one so that it does not differ."""
    free = expected.free
    port = expected.source.port or (seen.source_port if seen is not None else 0)
    source = expected.source.address
    checksum = ChecksumField.ZERO if expected.checksum is ChecksumRule.NONE else ChecksumField.FULL
    packet = Packet(
        expected.source_mac,
        expected.destination_mac,
        Endpoint(source, port),
        expected.destination,
        expected.payload,
        expected.ttl,
        expected.tos,
        expected.dont_fragment,
        checksum=checksum,
        mtu=65575,
    )
    if seen is None:
        return packet
    return replace(
        packet,
        identification=seen.identification,
        ttl=seen.ttl if "ip.ttl" in free else expected.ttl,
        tos=seen.tos if "ip.tos" in free else expected.tos,
        dont_fragment=seen.dont_fragment if "ip.dont_fragment" in free else expected.dont_fragment,
    )


def _fields(expected: ExpectedDatagram, seen: SeenDatagram | None, finding: Finding) -> tuple[Line, ...]:
    free = expected.free
    nothing = "nothing" if finding.verdict is Verdict.MISSING else "?"
    rows: list[tuple[str, str, str]] = [
        ("eth.source", mac_text(expected.source_mac), mac_text(seen.source_mac) if seen else nothing),
        ("eth.destination", mac_text(expected.destination_mac), mac_text(seen.destination_mac) if seen else nothing),
        ("ip.source", str(expected.source.address), address_text(seen.source) if seen else nothing),
        ("ip.destination", str(expected.destination.address), address_text(seen.destination) if seen else nothing),
        ("ip.ttl", _free("ip.ttl", expected.ttl, free), str(seen.ttl) if seen else nothing),
        ("ip.tos", _free("ip.tos", f"0x{expected.tos:02x}", free), f"0x{seen.tos:02x}" if seen else nothing),
        ("ip.fragments", layout_text(expected.layout), layout_text(seen.layout) if seen else nothing),
        ("udp.source_port", str(expected.source.port or _ANY), str(seen.source_port) if seen else nothing),
        ("udp.destination_port", str(expected.destination.port), str(seen.destination_port) if seen else nothing),
        ("udp.payload", _size(expected.payload), _size(seen.payload) if seen else nothing),
    ]
    if expected.destination.family is Family.INET:
        flag = (
            _free("ip.dont_fragment", int(expected.dont_fragment), free),
            str(int(seen.dont_fragment)) if seen else nothing,
        )
        rows.insert(6, ("ip.dont_fragment", *flag))
    lines = [Line(name, left, right, _same(name, left, right, expected, seen)) for name, left, right in rows]
    known = {line.name for line in lines if not line.same}
    if seen is not None:
        for item in differences(Form(expected), seen, expected.source.port, expected.payload):
            if item.field not in known and item.field not in {line.name for line in lines}:
                lines.append(Line(item.field, item.expected, item.seen, False))
    return tuple(lines)


def _same(name: str, left: str, right: str, expected: ExpectedDatagram, seen: SeenDatagram | None) -> bool:
    if seen is None:
        return False
    if name == "udp.payload":
        return seen.payload == expected.payload
    if name == "ip.source":
        return right in (left, *map(str, expected.sources))
    return left == right or left.startswith(_ANY) or name in expected.free


def _free(name: str, value: object, free: Iterable[str]) -> str:
    return f"{_ANY} ({value})" if name in free else str(value)


def _size(payload: bytes) -> str:
    head = payload[:8].hex(" ")
    return f"{len(payload)} bytes" + (f": {head}" + (" ..." if len(payload) > 8 else "") if payload else "")


def _alone(seen: SeenDatagram | None) -> tuple[Line, ...]:
    """A datagram that nobody expected, in words."""
    if seen is None:
        return ()
    rows: Sequence[tuple[str, str]] = (
        ("eth.source", mac_text(seen.source_mac)),
        ("eth.destination", mac_text(seen.destination_mac)),
        ("ip.source", address_text(seen.source)),
        ("ip.destination", address_text(seen.destination)),
        ("udp.source_port", str(seen.source_port)),
        ("udp.destination_port", str(seen.destination_port)),
        ("udp.payload", _size(seen.payload)),
    )
    return tuple(Line(name, "nothing", value, False) for name, value in rows)


def _first_difference(wanted: bytes, got: bytes) -> int | None:
    shared = min(len(wanted), len(got))
    at = next((index for index in range(shared) if wanted[index] != got[index]), shared)
    return None if at == len(wanted) == len(got) else at


def _bytes(explanation: Explanation) -> list[str]:
    """Both frames in rows of bytes side by side, from a little before the first difference on."""
    wanted, got, first = explanation.expected, explanation.seen, explanation.first
    longest = max(len(wanted), len(got))
    begin = max(0, (first or 0) // _ROW - _AROUND) * _ROW
    head = f"first differing byte of the frame: {first}" if first is not None else "bytes of the frame"
    out = [f"  {head} (left expected, right seen)" if wanted and got else f"  {'expected' if wanted else 'seen'}:"]
    for row, start in enumerate(range(begin, longest, _ROW)):
        if row == _MOST_ROWS:
            out.append(f"    ... {longest - start} more bytes")
            break
        left, right = wanted[start : start + _ROW], got[start : start + _ROW]
        if wanted and got:
            mark = " " if left == right else ">"
            out.append(f"  {mark} {start:04x}  {left.hex(' '):{_ROW * 3}} | {_marked(left, right)}")
        else:
            out.append(f"    {start:04x}  {(left or right).hex(' ')}")
    return out


def _marked(wanted: bytes, got: bytes) -> str:
    """A row of bytes, those that differ in brackets."""
    parts = []
    for index, value in enumerate(got):
        differs = index >= len(wanted) or wanted[index] != value
        parts.append(f"[{value:02x}]" if differs else f" {value:02x} ")
    return "".join(parts).rstrip()


def _wireshark(
    finding: Finding,
    frame: CapturedFrame | None,
    seen: SeenDatagram | None,
    capture: Path,
    expected: ExpectedDatagram | None,
) -> str:
    number = finding.frame if frame is None else frame.number
    if number is not None:
        near = f"; its flow: {_flow(seen)}" if seen is not None else ""
        return f"wireshark -r {capture} -g {number} (frame {number}, display filter: frame.number == {number}{near})"
    if expected is None:
        return ""
    name = "ip" if expected.destination.family is Family.INET else "ipv6"
    to = f"{name}.dst == {expected.destination.address} && udp.dstport == {expected.destination.port}"
    return f"wireshark -r {capture} -Y '{to}' (where it should be; no frame shows it)"


def _flow(seen: SeenDatagram) -> str:
    name = "ip" if len(seen.source) == 4 else "ipv6"
    return (
        f"{name}.addr == {address_text(seen.source)} && {name}.addr == {address_text(seen.destination)} && "
        f"udp.port == {seen.destination_port}"
    )

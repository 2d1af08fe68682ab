"""Holds tshark's reading of a frame against our own: two readers, one truth.

Where they differ on a sound frame nobody knows who is right, so it is a doubt about the harness, and the case is
inconclusive. tshark's expert warnings about a frame that we find sound are findings, as far as they speak of Ethernet,
IP or UDP.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from harness.capture.frames import CapturedFrame, Checksum, Dissection
from harness.verify.seen import ChecksumState, SeenDatagram, address_text
from harness.verify.verdict import Finding, Verdict

_CHECKSUMS = {
    ChecksumState.GOOD: {Checksum.GOOD},
    ChecksumState.BAD: {Checksum.BAD},
    ChecksumState.PARTIAL: {Checksum.BAD, Checksum.UNVERIFIED},
    ChecksumState.ZERO: {Checksum.ABSENT, Checksum.UNVERIFIED, Checksum.BAD},
}
_SEVERE = re.compile(r"^\s*(error|warn(ing)?)\b", re.IGNORECASE)
_OURS = re.compile(r"checksum|fragment|overlap|length|header|\bip\b|ipv[46]|\budp\b|malformed", re.IGNORECASE)
_CHECKSUM = re.compile(r"checksum", re.IGNORECASE)


@dataclass(slots=True)
class Agreement:
    """Doubts (in words) and findings."""

    doubts: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def agree(datagrams: Iterable[SeenDatagram], frames: Mapping[int, CapturedFrame]) -> Agreement:
    """Compare the readings of datagrams; those that we found damaged are left to their own findings.

    Args:
        datagrams: our reading.
        frames: captured frames by number, with tshark's dissection.
    """
    result = Agreement()
    for seen in datagrams:
        frame = frames.get(seen.frame)
        dissection = frame.dissection if frame is not None else None
        if dissection is None:
            result.doubts.append(f"tshark said nothing of frame {seen.frame}")
            continue
        if seen.problems or not seen.complete:
            continue
        for name, ours, theirs in _compare(seen, dissection):
            result.doubts.append(
                f"tshark and the raw bytes disagree on frame {seen.frame}: {name} {theirs}, not {ours}"
            )
        for message in dissection.expert:
            if _matters(message, seen, dissection):
                finding = Finding(Verdict.ALTERED, seen.frame, None, "tshark.expert", "no warning", message)
                result.findings.append(finding)
    return result


def _compare(seen: SeenDatagram, told: Dissection) -> list[tuple[str, str, str]]:
    """(field, our value, tshark's value) of each difference."""
    out: list[tuple[str, str, str]] = []
    for name, ours, theirs in (
        ("source", seen.source, told.source),
        ("destination", seen.destination, told.destination),
    ):
        if _packed(theirs) != ours:
            out.append((name, address_text(ours), theirs or "nothing"))
    for name, port, said in (
        ("source port", seen.source_port, told.source_port),
        ("destination port", seen.destination_port, told.destination_port),
    ):
        if port != said:
            out.append((name, str(port), str(said)))
    if (told.payload or b"") != seen.payload:
        out.append(("payload of", f"{len(seen.payload)} bytes", f"{len(told.payload or b'')} bytes"))
    allowed = _CHECKSUMS.get(seen.checksum_state, set())
    if allowed and told.udp_checksum not in allowed:
        out.append(("UDP checksum", seen.checksum_state.value, told.udp_checksum.value))
    if len(seen.source) == 4 and told.ip_checksum is not Checksum.GOOD:
        out.append(("IP checksum", "good", told.ip_checksum.value))
    if len(seen.layout) > 1 and not set(seen.frames[:-1]) <= set(told.reassembled_from) <= set(seen.frames):
        out.append(("reassembly from frames", _numbers(seen.frames), _numbers(told.reassembled_from)))
    return out


def _packed(text: str) -> bytes:
    try:
        return ip_address(text).packed
    except ValueError:
        return b""


def _numbers(frames: Iterable[int]) -> str:
    listed = sorted(frames)
    return ", ".join(map(str, listed[:8])) + (" ..." if len(listed) > 8 else "") or "none"


def _matters(message: str, seen: SeenDatagram, told: Dissection) -> bool:
    if not _SEVERE.match(message):
        return False
    if _CHECKSUM.search(message) and seen.checksum_state is not ChecksumState.GOOD:
        return False  # judged by its value already
    above = told.protocols.split(":udp", 1)[-1].strip(":")
    return above in ("", "data") or (bool(_OURS.search(message)) and "malformed" not in message.lower())

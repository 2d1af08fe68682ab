"""Reassembly of IP fragments (RFC 791, RFC 8200 section 4.5) with everything wrong about them named.

A datagram is complete when every byte up to the last fragment's end is there. A repeated fragment, an overlap with
other bytes, a gap, and a fragment whose size is not a multiple of 8 are problems of the datagram they belong to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.verify.seen import Problem, SeenDatagram

Key = tuple[bytes, bytes, int, int]
REPEATED = "ip.fragment_repeated"


@dataclass(slots=True)
class Fragment:
    """One fragment as a frame carried it."""

    frame: int
    source_mac: bytes
    destination_mac: bytes
    ttl: int
    tos: int
    dont_fragment: bool
    offset: int
    more: bool
    body: bytes
    trailer: bytes
    problems: list[Problem]


@dataclass(slots=True)
class _Assembly:
    pieces: list[Fragment] = field(default_factory=list)
    have: int = 0
    total: int | None = None
    problems: list[Problem] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)


class Reassembler:
    """Collects fragments and gives a datagram when the last missing one has come.

    Args:
        finish: reads the UDP part (``dissect.finish``).
    """

    def __init__(self, finish: Callable[..., SeenDatagram]) -> None:
        self._finish = finish
        self._open: dict[Key, _Assembly] = {}
        self._done: dict[Key, tuple[_Assembly, SeenDatagram]] = {}

    def add(self, key: Key, piece: Fragment) -> SeenDatagram | None:
        """Take one fragment; the datagram, if this completed it."""
        assembly = self._open.setdefault(key, _Assembly())
        if piece.more and len(piece.body) % 8:
            text = f"{len(piece.body)} bytes at offset {piece.offset}"
            assembly.problems.append(Problem("ip.fragment_size", "a multiple of 8 bytes", text))
        if self._overlaps(assembly, piece):
            return None
        assembly.pieces.append(piece)
        assembly.have += len(piece.body)
        if not piece.more:
            assembly.total = piece.offset + len(piece.body)
        if assembly.total is None or assembly.have < assembly.total:
            return None
        del self._open[key]
        seen = self._build(key, assembly, complete=assembly.have == assembly.total)
        self._done[key] = (assembly, seen)
        return seen

    def leftovers(self) -> list[SeenDatagram]:
        """Datagrams that never became complete; repeated fragments of a complete one become problems of that one."""
        out: list[SeenDatagram] = []
        for key, assembly in self._open.items():
            done = self._done.get(key)
            if done is not None and all(any(_same(piece, old) for old in done[0].pieces) for piece in assembly.pieces):
                repeats = tuple(_repeat(piece) for piece in assembly.pieces)
                done[1].problems = (*done[1].problems, *repeats)
                continue
            out.append(self._build(key, assembly, complete=False))
        return out

    def _overlaps(self, assembly: _Assembly, piece: Fragment) -> bool:
        """Whether the fragment covers bytes that are there already; then it is noted and not counted again."""
        end = piece.offset + len(piece.body)
        for old in assembly.pieces:
            if piece.offset < old.offset + len(old.body) and old.offset < end:
                if _same(piece, old):
                    assembly.problems.append(_repeat(piece))
                else:
                    text = f"frame {piece.frame} bytes {piece.offset}-{end} over frame {old.frame}"
                    assembly.problems.append(Problem("ip.fragment_overlap", "no overlap", text))
                assembly.repeated.append(piece.frame)
                return True
        return False

    def _build(self, key: Key, assembly: _Assembly, complete: bool) -> SeenDatagram:
        pieces = sorted(assembly.pieces, key=lambda piece: piece.offset)
        first = pieces[0]
        problems = [*assembly.problems, *(item for piece in pieces for item in piece.problems)]
        body = bytearray()
        for piece in pieces:
            if piece.offset > len(body):
                problems.append(Problem("ip.fragments", "complete", f"gap of bytes {len(body)}-{piece.offset}"))
                body.extend(bytes(piece.offset - len(body)))
            body[piece.offset : piece.offset + len(piece.body)] = piece.body
        if assembly.total is None:
            problems.append(Problem("ip.fragments", "complete", f"no last fragment after byte {len(body)}"))
        for name in ("ttl", "tos", "source_mac", "destination_mac"):
            if len({getattr(piece, name) for piece in pieces}) > 1:
                values = sorted({str(getattr(piece, name)) for piece in pieces})
                problems.append(Problem(f"ip.fragments.{name}", "equal in all fragments", ", ".join(values)))
        numbers = tuple(sorted(piece.frame for piece in pieces))
        seen = self._finish(
            numbers,
            (first.source_mac, first.destination_mac, key[0], key[1]),
            (first.ttl, first.tos, any(piece.dont_fragment for piece in pieces), key[2]),
            bytes(body),
            tuple(len(piece.body) for piece in pieces),
            b"".join(piece.trailer for piece in pieces),
            problems,
            complete,
        )
        seen.headed = first.offset == 0
        seen.in_order = [piece.frame for piece in pieces] == list(numbers)
        return seen


def _same(one: Fragment, other: Fragment) -> bool:
    return one.offset == other.offset and one.body == other.body and one.more == other.more


def _repeat(piece: Fragment) -> Problem:
    return Problem(REPEATED, "once", "twice", f"frame {piece.frame} repeats the bytes from {piece.offset} on")

"""Makes random sequences of operations on several sockets from a seed, and shrinks one that fails; does no I/O.

A sequence is a list of ``Move``s. Each names a socket by its place, never by its number, so any part of a sequence is
itself a sequence, and a failing one can be shrunk. The caller runs the sequences.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

SOCKETS = 4
VERBS = (
    *("open",) * 2,
    "close",
    *("bind",) * 3,
    *("send",) * 10,
    *("send null",) * 4,
    "send late",
    "collect",
    "messages",
    "kept irp",
    "raised",
    "fix remote",
    "fix sendto",
    "clear remote",
    "clear sendto",
    "ttl",
    "multicast",
    "broadcast",
    "dont fragment",
    "tos",
    "source",
    "chain",
    "no checksum",
    "reply",
    "receive",
    "unknown option",
)
SIZES = (0, 1, 2, 17, 18, 19, 64, 500, 1452, 1453, 1472, 1473, 2952, 3000)


@dataclass(frozen=True, slots=True)
class Move:
    """One move: the verb, the place of its socket, and a random number from which its other values follow."""

    verb: str
    place: int
    number: int


def moves(seed: int, count: int) -> list[Move]:
    """Make ``count`` random moves; equal seeds give equal moves."""
    chance = random.Random(seed)
    return [Move(chance.choice(VERBS), chance.randrange(SOCKETS), chance.getrandbits(32)) for _ in range(count)]


def shrink(failing: Sequence[Move], fails: Callable[[Sequence[Move]], bool], tries: int = 400) -> list[Move]:
    """Shorten a failing sequence by leaving out halves, then quarters, down to single moves, while it still fails.

    Args:
        failing: a sequence for which ``fails`` is true.
        fails: runs a sequence and says whether it fails.
        tries: largest number of calls of ``fails``; after these the shortest sequence so far is returned.
    """
    best = list(failing)
    size = max(1, len(best) // 2)
    while tries > 0:
        at = 0
        shorter = False
        while at < len(best) and tries > 0:
            candidate = best[:at] + best[at + size :]
            tries -= bool(candidate)
            if candidate and fails(candidate):
                best, shorter = candidate, True
            else:
                at += size
        if size == 1 and not shorter:
            break
        size = max(1, size // 2)
    return best


def to_json(sequence: Sequence[Move]) -> str:
    """Encode a sequence as JSON for a later replay, with one move per line."""
    return "[\n" + ",\n".join(json.dumps(asdict(move)) for move in sequence) + "\n]\n"


def from_json(text: str) -> list[Move]:
    """Decode a sequence from ``to_json``; raises ``ValueError`` or ``TypeError`` on any other text."""
    return [Move(**item) for item in json.loads(text)]

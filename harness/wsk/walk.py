"""Random sequences of operations on several sockets, from a seed, and the search for the shortest one that still fails.

A sequence is a list of ``Move``s. Each names a socket by its place, never by its number, so any part of a sequence is a
sequence again: that is what makes shrinking possible. Nothing here does I/O; what runs a sequence is the caller's.
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
    """One move: what is done, to which of the sockets, and a number that decides all the rest."""

    verb: str
    place: int
    number: int


def moves(seed: int, count: int) -> list[Move]:
    """``count`` moves; the same for the same seed."""
    chance = random.Random(seed)
    return [Move(chance.choice(VERBS), chance.randrange(SOCKETS), chance.getrandbits(32)) for _ in range(count)]


def shrink(failing: Sequence[Move], fails: Callable[[Sequence[Move]], bool], tries: int = 400) -> list[Move]:
    """The shortest sequence that still fails, found by leaving out halves, then quarters, down to single moves.

    Args:
        failing: a sequence for which ``fails`` holds.
        fails: runs a sequence and says whether it fails.
        tries: how often ``fails`` may be asked; when they are used up, the shortest so far is the answer.
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
    """A sequence as text, one move a line, for replay."""
    return "[\n" + ",\n".join(json.dumps(asdict(move)) for move in sequence) + "\n]\n"


def from_json(text: str) -> list[Move]:
    """A sequence back from ``to_json``; raises ``ValueError``, ``TypeError`` on anything else."""
    return [Move(**item) for item in json.loads(text)]

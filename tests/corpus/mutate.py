"""Makes hostile files from sound ones: seeded, so that a file that breaks something can be made again."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

_NASTY = (0, 1, 3, 4, 7, 11, 12, 27, 28, 31, 0x7F, 0xFF, 0x100, 0xFFFF, 262_144, 262_145, 0x7FFFFFFF, 0x80000000,
          0xFFFFFFF0, 0xFFFFFFFC, 0xFFFFFFFF)  # fmt: skip

Mutation = Callable[[random.Random, bytearray], None]


def _flip(chance: random.Random, data: bytearray) -> None:
    for _ in range(chance.choice((1, 1, 2, 8))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _lie(chance: random.Random, data: bytearray) -> None:
    """Overwrite an aligned word with a number that is nasty as a length, in either byte order."""
    at = chance.randrange(max(1, len(data) - 3)) & ~chance.choice((3, 1))
    data[at : at + 4] = struct.pack(chance.choice("<>") + "I", chance.choice(_NASTY))


def _nudge(chance: random.Random, data: bytearray) -> None:
    """Make a word a little larger or smaller."""
    at = chance.randrange(max(1, len(data) - 3)) & ~3
    word = int.from_bytes(data[at : at + 4], "little") + chance.choice((-4, -1, 1, 4, 16))
    data[at : at + 4] = (word & 0xFFFFFFFF).to_bytes(4, "little")


def _cut(chance: random.Random, data: bytearray) -> None:
    del data[chance.randrange(len(data)) + 1 :]


def _remove(chance: random.Random, data: bytearray) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.choice((1, 2, 4, 16, 140))]


def _repeat(chance: random.Random, data: bytearray) -> None:
    at, size = chance.randrange(len(data)), chance.choice((4, 32, 140, 1000))
    data[at:at] = data[at : at + size] * chance.choice((1, 2, 30))


def _noise(chance: random.Random, data: bytearray) -> None:
    at = chance.randrange(len(data))
    data[at : at + chance.choice((1, 4, 20, 200))] = chance.randbytes(chance.choice((1, 4, 20, 200)))


def _header(chance: random.Random, data: bytearray) -> None:
    """Damage the first bytes, where the format is told."""
    data[chance.randrange(min(len(data), 120))] = chance.randrange(256)


_MUTATIONS: tuple[Mutation, ...] = (_flip, _flip, _lie, _lie, _nudge, _cut, _remove, _repeat, _noise, _header)


def mutated(seed: int, sound: Sequence[bytes]) -> bytes:
    """One hostile file."""
    chance = random.Random(seed)
    if chance.random() < 0.01:
        return chance.randbytes(chance.randrange(1, 2000))
    data = bytearray(chance.choice(sound))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        chance.choice(_MUTATIONS)(chance, data)
        if not data:
            data = bytearray(b"\x0a\x0d\x0d\x0a")
    return bytes(data)

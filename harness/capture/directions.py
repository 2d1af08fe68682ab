"""Writes into a finished record which way each of its frames went: ``epb_flags`` of pcapng, section 4.3.1.

dumpcap cannot write it: libpcap gives it frames of one interface without their direction, and of two interfaces (one
for each direction) in an order of its own. So the record gets it when dumpcap has ended, from the live capture, which
has seen the same frames in the same order.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from harness.errors import LabError
from harness.files import removal

_EPB, _EPB_FLAGS = 6, 2
_HEAD = struct.Struct("<II")
_PACKET = struct.Struct("<IIII")
_OPTIONS_LENGTH = 12
_CHUNK = 4 << 20


def _options(direction: int) -> bytes:
    return struct.pack("<HHIHH", _EPB_FLAGS, 4, direction, 0, 0)


_OPTIONS = tuple(_options(direction) for direction in range(3))


def write(path: Path, directions: Sequence[int]) -> None:
    """Give each packet of a record its direction; frames after the last known one stay as they are.

    The new file takes the place of the record when all of it is written, so that a record is never half a file.

    Args:
        path: a record of this harness: pcapng as dumpcap writes it on this machine, one section, no packet options.
        directions: ``Direction`` of each frame, in order.

    Raises:
        LabError: the file cannot be read or written, or is no such record.
    """
    try:
        with path.open("rb") as source, removal.whole(path) as target:
            rest, done = b"", 0
            while data := source.read(_CHUNK):
                data = rest + data
                parts, used, done = _flagged(data, directions, done)
                target.write(b"".join(parts))
                rest = data[used:]
            if rest:
                raise LabError(f"{path} ends in the middle of a block")
    except OSError as error:
        raise LabError(f"cannot write the directions of frames into {path}: {error.strerror or error}") from error


def _flagged(data: bytes, directions: Sequence[int], done: int) -> tuple[list[bytes], int, int]:
    """The whole blocks of ``data`` with their directions, how many bytes they were, and how many frames came so far."""
    parts: list[bytes] = []
    at, end, known = 0, len(data), len(directions)
    kept = 0  # up to here all is in ``parts``
    while end - at >= 12:
        kind, length = _HEAD.unpack_from(data, at)
        if length < 12 or length % 4:
            raise LabError(f"a block of the record says that it is {length} bytes long")
        if at + length > end:
            break
        if kind == _EPB:
            if done < known:
                captured = _PACKET.unpack_from(data, at + 16)[1]
                if length != 32 + captured + -captured % 4:
                    raise LabError(f"frame {done + 1} of the record has options already")
                parts += (
                    data[kept:at],
                    _HEAD.pack(_EPB, length + _OPTIONS_LENGTH),
                    data[at + 8 : at + length - 4],
                    _OPTIONS[directions[done]],
                    struct.pack("<I", length + _OPTIONS_LENGTH),
                )
                kept = at + length
            done += 1
        at += length
    parts.append(data[kept:at])
    return parts, at, done

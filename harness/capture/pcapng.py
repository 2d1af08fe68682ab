"""Reads a pcapng file, also while it grows; the format is draft-ietf-opsawg-pcapng (SHB, IDB, EPB, SPB, ISB).

Blocks of other types are skipped, a block that is not complete yet is left for the next read, and a length that lies is
a LabError with the offset, never a guess.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from harness.capture.frames import CapturedFrame
from harness.capture.origin import Direction
from harness.errors import LabError

SHB, IDB, SPB, ISB, EPB = 0x0A0D0D0A, 1, 3, 5, 6
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_ETHERNET_LINK = 1
_OPTION_IF_NAME, _OPTION_IF_TSRESOL, _OPTION_IF_TSOFFSET = 2, 9, 14
_OPTION_EPB_FLAGS = 2
_OPTION_ISB_IFDROP, _OPTION_ISB_OSDROP = 5, 7
_MAX_BLOCK = 64 << 20
_CHUNK = 4 << 20


@dataclass(slots=True)
class Interface:
    """One interface of a file's section.

    Args:
        name: its name, empty when the file does not say.
        link: link type, 1 for Ethernet.
        snap: snap length, 0 for none.
        numerator, denominator: nanoseconds per unit of its time stamps, as a fraction.
        offset_ns: added to each time stamp.
        dropped: frames lost according to its last statistics block; ``None`` while there is none.
    """

    name: str
    link: int
    snap: int
    numerator: int
    denominator: int
    offset_ns: int
    dropped: int | None = None


class PcapngReader:
    """Gives the frames of a pcapng file in order, as far as they are complete.

    Args:
        path: the file.

    Raises:
        LabError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.interfaces: list[Interface] = []
        self._earlier_dropped: list[int | None] = []
        self._order = "<"
        self._count = 0
        self._offset = 0
        self._rest = b""
        try:
            self._file: BinaryIO = path.open("rb", buffering=0)
        except OSError as error:
            raise LabError(f"cannot read the capture {path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def dropped(self) -> int | None:
        """Frames lost according to the file; ``None`` when no interface's statistics are in it."""
        known = [*self._earlier_dropped, *(interface.dropped for interface in self.interfaces)]
        counts = [count for count in known if count is not None]
        return sum(counts) if counts else None

    @property
    def incomplete(self) -> int:
        """Bytes at the end that are not a whole block: 0 for a file that was closed properly."""
        return len(self._rest)

    def read(self) -> list[CapturedFrame]:
        """The frames that were added since the last call.

        Raises:
            LabError: the file is not pcapng, or is damaged.
        """
        return [frame for batch in self.batches() for frame in batch]

    def batches(self) -> Iterator[list[CapturedFrame]]:
        """The same some megabytes at a time, so that memory does not grow with the file.

        Raises:
            LabError: the file is not pcapng, or is damaged.
        """
        while data := self._file.read(_CHUNK):
            yield self._frames(self._rest + data)

    def _frames(self, data: bytes) -> list[CapturedFrame]:
        """The frames of all whole blocks; the rest is kept for the next time."""
        frames: list[CapturedFrame] = []
        at = 0
        while len(data) - at >= 12:
            length = self._block_length(data, at)
            if len(data) - at < length:
                break
            self._check_trailer(data, at, length)
            frame = self._block(data, at, length)
            if frame is not None:
                frames.append(frame)
            at += length
        self._rest = data[at:]
        self._offset += at
        return frames

    def _wrong(self, at: int, what: str) -> LabError:
        return LabError(f"{self.path} is not a sound pcapng file: block at offset {self._offset + at} {what}")

    def _block_length(self, data: bytes, at: int) -> int:
        if data[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            self._section(data, at)
        elif not self.interfaces and self._offset + at == 0:
            raise LabError(f"{self.path} is not a pcapng file", mend="capture with dumpcap or tshark")
        length = int(struct.unpack_from(self._order + "I", data, at + 4)[0])
        if length < 12 or length % 4 or length > _MAX_BLOCK:
            raise self._wrong(at, f"says that it is {length} bytes long")
        return length

    def _section(self, data: bytes, at: int) -> None:
        for order in "<>":
            if struct.unpack_from(order + "I", data, at + 8)[0] == _BYTE_ORDER_MAGIC:
                self._order = order
                return
        raise self._wrong(at, "begins a section without a byte-order magic")

    def _check_trailer(self, data: bytes, at: int, length: int) -> None:
        trailer = struct.unpack_from(self._order + "I", data, at + length - 4)[0]
        if trailer != length:
            raise self._wrong(at, f"says {length} bytes at its start and {trailer} at its end")

    def _block(self, data: bytes, at: int, length: int) -> CapturedFrame | None:
        kind = struct.unpack_from(self._order + "I", data, at)[0]
        body = data[at + 8 : at + length - 4]
        try:
            if kind == SHB:
                self._earlier_dropped += [interface.dropped for interface in self.interfaces]
                self.interfaces = []
            elif kind == IDB:
                self.interfaces.append(self._interface(body))
            elif kind == EPB:
                return self._enhanced(at, body)
            elif kind == SPB:
                return self._simple(at, body)
            elif kind == ISB:
                self._statistics(at, body)
        except struct.error as error:
            raise self._wrong(at, f"of type {kind} is too short") from error
        return None

    def _options(self, body: bytes, at: int) -> dict[int, bytes]:
        options: dict[int, bytes] = {}
        while at + 4 <= len(body):
            code, length = struct.unpack_from(self._order + "HH", body, at)
            if code == 0:
                break
            options.setdefault(code, body[at + 4 : at + 4 + length])
            at += 4 + (length + 3) // 4 * 4
        return options

    def _interface(self, body: bytes) -> Interface:
        link, _, snap = struct.unpack_from(self._order + "HHI", body)
        options = self._options(body, 8)
        # if_tsresol: bit 7 set means a power of two, clear a power of ten; six (microseconds) when absent.
        resolution = options.get(_OPTION_IF_TSRESOL, b"\x06")[0]
        units = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
        offset = options.get(_OPTION_IF_TSOFFSET, b"")
        seconds = struct.unpack(self._order + "q", offset)[0] if len(offset) == 8 else 0
        name = options.get(_OPTION_IF_NAME, b"").rstrip(b"\0").decode(errors="replace")
        return Interface(name, link, snap, 1_000_000_000, units, seconds * 1_000_000_000)

    def _on(self, at: int, number: int) -> Interface:
        if number >= len(self.interfaces):
            raise self._wrong(at, f"names interface {number}, which the file does not describe")
        interface = self.interfaces[number]
        if interface.link != _ETHERNET_LINK:
            raise LabError(f"{self.path}: interface {interface.name or number} is not Ethernet (type {interface.link})")
        return interface

    def _enhanced(self, at: int, body: bytes) -> CapturedFrame:
        number, high, low, captured, original = struct.unpack_from(self._order + "IIIII", body)
        interface = self._on(at, number)
        if captured > len(body) - 20:
            raise self._wrong(at, f"says that it holds {captured} bytes of a frame, and is too short for them")
        units = high << 32 | low
        time_ns = units * interface.numerator // interface.denominator + interface.offset_ns
        self._count += 1
        way = Direction.UNKNOWN
        if len(body) > (options := 20 + captured + -captured % 4):
            way = self._direction(self._options(body, options).get(_OPTION_EPB_FLAGS, b""))
        return CapturedFrame(self._count, time_ns, body[20 : 20 + captured], original, interface.name, None, way)

    def _direction(self, flags: bytes) -> Direction:
        value = struct.unpack(self._order + "I", flags)[0] & 3 if len(flags) == 4 else 0
        return Direction(value) if value < 3 else Direction.UNKNOWN

    def _simple(self, at: int, body: bytes) -> CapturedFrame:
        (original,) = struct.unpack_from(self._order + "I", body)
        interface = self._on(at, 0)
        captured = min(original, interface.snap) if interface.snap else original
        if captured > len(body) - 4:
            raise self._wrong(at, f"says that it holds {captured} bytes of a frame, and is too short for them")
        self._count += 1
        return CapturedFrame(self._count, 0, body[4 : 4 + captured], original, interface.name)

    def _statistics(self, at: int, body: bytes) -> None:
        (number, _, _) = struct.unpack_from(self._order + "III", body)
        if number >= len(self.interfaces):
            raise self._wrong(at, f"counts for interface {number}, which the file does not describe")
        options = self._options(body, 12)
        drops = [options[code] for code in (_OPTION_ISB_IFDROP, _OPTION_ISB_OSDROP) if len(options.get(code, b"")) == 8]
        if drops:
            self.interfaces[number].dropped = sum(struct.unpack(self._order + "Q", drop)[0] for drop in drops)


def section(interface: str) -> bytes:
    """The start of a pcapng stream with one Ethernet interface and time stamps in nanoseconds."""
    name = interface.encode()
    options = _option(_OPTION_IF_NAME, name) + _option(_OPTION_IF_TSRESOL, b"\x09") + struct.pack("<HH", 0, 0)
    return _pack(SHB, struct.pack("<IHHq", _BYTE_ORDER_MAGIC, 1, 0, -1)) + _pack(
        IDB, struct.pack("<HHI", _ETHERNET_LINK, 0, 0) + options
    )


def packet(frame: CapturedFrame) -> bytes:
    """One frame as an enhanced packet block of interface 0 of ``section``."""
    high, low = frame.time_ns >> 32, frame.time_ns & 0xFFFFFFFF
    header = struct.pack("<IIIII", 0, high, low, len(frame.data), frame.length)
    options = b""
    if frame.direction is not Direction.UNKNOWN:
        options = _option(_OPTION_EPB_FLAGS, struct.pack("<I", frame.direction)) + struct.pack("<HH", 0, 0)
    return _pack(EPB, header + _padded(frame.data) + options)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _pack(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)

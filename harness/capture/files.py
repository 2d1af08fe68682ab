"""Reads capture files of any size, as other tools write them, in batches of frames: pcap and pcapng, compressed or not.

Memory does not grow with the file. Whatever the file says of itself is checked before it is believed: what follows a
length that lies cannot be read, so reading ends there and ``CaptureFile.damage`` says where and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from harness.capture.batches import Batch, Interface
from harness.capture.blocks import Blocks
from harness.capture.pcap_header import Unreadable, is_pcap, read_header
from harness.capture.records import Records
from harness.capture.streams import Source
from harness.errors import UsageError

_CHUNK = 1 << 19  # stays in a core's cache while it is looked at
_SECTION = b"\x0a\x0d\x0d\x0a"
_CAPTURE = "capture with dumpcap, tshark or tcpdump"
_CONVERT = "convert it with editcap -F pcapng, which reads many formats"


class CaptureFile:
    """A capture file, read once from start to end.

    Args:
        path: the file.
        chunk: bytes that are read at a time.

    Raises:
        UsageError: it cannot be opened, or is neither pcap nor pcapng.
    """

    def __init__(self, path: Path, *, chunk: int = _CHUNK) -> None:
        self.path = path
        self._chunk = chunk
        self._source = Source(path)
        self._buffer = np.empty(chunk, dtype=np.uint8)
        self._have = 0
        self._ended = False
        try:
            self._fill(chunk)
            self._reader = self._open_reader()
        except BaseException:
            self._source.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def format(self) -> str:
        """``pcap`` or ``pcapng``, with the compression if there is one."""
        return self._reader.format + (f" in {self._source.compression}" if self._source.compression else "")

    @property
    def compression(self) -> str:
        """What the file is compressed with; empty for nothing."""
        return self._source.compression

    @property
    def frames(self) -> int:
        """Frames read so far."""
        return self._reader.count

    @property
    def others(self) -> Mapping[str, int]:
        """What has a frame number in Wireshark and is no frame of a network, by name, counted."""
        return self._reader.others

    @property
    def damage(self) -> str:
        """Why the rest of the file could not be read; empty when there was none."""
        return self._reader.damage

    @property
    def interfaces(self) -> list[Interface]:
        """All interfaces met so far."""
        return self._reader.interfaces

    @property
    def dropped(self) -> int | None:
        """Frames that were lost according to the file; ``None`` when it does not say."""
        return self._reader.dropped

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def batches(self) -> Iterator[Batch]:
        """All frames in order; each batch is valid until the next one is asked for."""
        reader = self._reader
        at = reader.start
        while not reader.damage:
            while True:
                batch, at = reader.next(self._buffer, at, self._have)
                if batch is None:
                    break
                yield batch
            if reader.damage or self._ended:
                break
            need = max(reader.need, self._chunk)
            rest = self._have - at
            if need > len(self._buffer):
                grown = np.empty(need, dtype=np.uint8)
                grown[:rest] = self._buffer[at : self._have]
                self._buffer = grown
            else:
                self._buffer[:rest] = self._buffer[at : self._have].copy()
            self._have, at = rest, 0
            self._fill(len(self._buffer))
        if not reader.damage:
            self._end(at)

    def _end(self, at: int) -> None:
        if self._source.damage:
            self._reader.damage = self._source.damage
        elif self._have > at:
            self._reader.damage = (
                f"the file ends in the middle of a record, {self._have - at} bytes after frame {self._reader.count}"
            )

    def _fill(self, want: int) -> None:
        """Read until ``want`` bytes are in the buffer or the file ends."""
        count = self._source.readinto(self._buffer.data[self._have : want])
        self._ended = count < want - self._have
        self._have += count

    def _open_reader(self) -> Blocks | Records:
        head = self._buffer[: self._have].tobytes()
        if head[:4] == _SECTION:
            return Blocks()
        if is_pcap(head):
            try:
                return Records(read_header(head, whole=self._ended))
            except Unreadable as error:
                raise UsageError(f"{self.path} {error}", mend=_CONVERT) from None
        if self._source.damage:
            raise UsageError(f"{self.path}: {self._source.damage}")
        what = "is empty" if not head else "is neither a pcap nor a pcapng file"
        raise UsageError(f"{self.path} {what}", mend=_CONVERT if head else _CAPTURE)

"""Reads files of an ISO image without mounting it: UDF (as Microsoft's media have it), else Joliet or ISO 9660.

Reads only what it is asked for, so the few kilobytes of interest in an 8 GB file cost milliseconds. Structures from
ECMA-167, UDF 1.02 (OSTA) and ECMA-119; 2048-byte sectors, one partition, no sparing or metadata partition.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from harness.errors import UsageError

SECTOR = 2048
_ANCHOR = 256
_TAG_ANCHOR, _TAG_PARTITION, _TAG_VOLUME, _TAG_END, _TAG_FILE_SET, _TAG_NAME = 2, 5, 6, 8, 256, 257
_TAG_FILE, _TAG_EXTENDED_FILE = 261, 266
_SHORT, _LONG, _EMBEDDED = 0, 1, 3
_EXTENT_MASK = 0x3FFFFFFF  # the upper two bits of a length are the extent's type
_CONTINUED = 3  # type of an extent that holds more descriptors


@dataclass(frozen=True, slots=True)
class Node:
    """A file or folder: its size in bytes and where its bytes lie, as (offset in the image, length)."""

    name: str
    folder: bool
    size: int
    extents: tuple[tuple[int, int], ...]


class _DamagedError(Exception):
    pass


class Iso:
    """An opened ISO image.

    Args:
        path: the image.

    Raises:
        UsageError: it cannot be read, or is no ISO image.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: BinaryIO = path.open("rb")
            self.size = path.stat().st_size
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        self._udf = False
        self._start = 0
        self._joliet = False
        try:
            self._root = self._udf_root() or self._iso_root()
        except (_DamagedError, struct.error, OSError) as error:
            self._file.close()
            raise UsageError(f"{path} is damaged or incomplete ({error or 'short read'})") from error
        if self._root is None:
            self._file.close()
            raise UsageError(f"{path} is not an ISO image", mend="give the .iso file as it was downloaded")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the image."""
        self._file.close()

    def find(self, path: str) -> Node | None:
        """The node at a path with forward slashes, letters' case ignored; ``None`` when there is none."""
        node = self._root
        for part in filter(None, path.split("/")):
            if node is None or not node.folder:
                return None
            node = next((child for child in self.children(node) if child.name.lower() == part.lower()), None)
        return node

    def children(self, node: Node) -> list[Node]:
        """What a folder holds.

        Raises:
            UsageError: the image is damaged.
        """
        try:
            return list(self._udf_children(node) if self._udf else self._iso_children(node))
        except (_DamagedError, struct.error, OSError) as error:
            raise UsageError(f"{self.path} is damaged or incomplete ({error or 'short read'})") from error

    def walk(self, node: Node, prefix: str = "") -> Iterator[tuple[str, Node]]:
        """All files below a folder, each with its path relative to it."""
        for child in self.children(node):
            path = f"{prefix}{child.name}"
            if child.folder:
                yield from self.walk(child, f"{path}/")
            else:
                yield path, child

    def read(self, node: Node, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file.

        Raises:
            UsageError: the image ends before them.
        """
        wanted = node.size - offset if length is None else min(length, node.size - offset)
        out = bytearray()
        for start, size in node.extents:
            if offset >= size:
                offset -= size
                continue
            take = min(size - offset, wanted - len(out))
            self._file.seek(start + offset)
            out += self._file.read(take)
            offset = 0
            if len(out) >= wanted:
                break
        if len(out) < wanted:
            raise UsageError(f"{self.path} is incomplete: {node.name} goes on after its end", mend="download it again")
        return bytes(out)

    # ECMA-119 (ISO 9660) and Joliet

    def _iso_root(self) -> Node | None:
        found: Node | None = None
        for sector in range(16, 32):
            block = self._at(sector * SECTOR, SECTOR)
            if block[1:6] != b"CD001" or block[0] == 255:
                break
            joliet = block[0] == 2 and block[88:91] in (b"%/@", b"%/C", b"%/E")
            if (block[0] == 1 and found is None) or joliet:
                found = self._iso_record(block[156:190], "")
                self._joliet = joliet
        return found

    def _iso_record(self, record: bytes, name: str) -> Node:
        start, size = struct.unpack_from("<I4xI", record, 2)
        return Node(name, bool(record[25] & 2), size, ((start * SECTOR, size),))

    def _iso_children(self, folder: Node) -> Iterator[Node]:
        data = self.read(folder)
        at = 0
        parts: list[Node] = []  # a file of 4 GiB and more has several records
        while at < len(data):
            length = data[at]
            if length == 0:  # records do not cross sectors
                at = (at // SECTOR + 1) * SECTOR
                continue
            record = data[at : at + length]
            at += length
            raw = record[33 : 33 + record[32]]
            if raw in (b"\0", b"\1"):
                continue
            name = raw.decode("utf-16-be" if self._joliet else "latin-1", "replace").split(";")[0].rstrip(".")
            parts.append(self._iso_record(record, name))
            if record[25] & 0x80:
                continue
            extents = tuple(extent for part in parts for extent in part.extents)
            yield Node(name, parts[0].folder, sum(part.size for part in parts), extents)
            parts = []

    # ECMA-167 with UDF 1.02

    def _udf_root(self) -> Node | None:
        names = {self._at(sector * SECTOR, 6)[1:6] for sector in range(16, 48)}
        if not names & {b"NSR02", b"NSR03"}:
            return None
        anchor = self._at(_ANCHOR * SECTOR, 512)
        if _tag(anchor) != _TAG_ANCHOR:
            raise _DamagedError("no UDF anchor at sector 256")
        length, location = struct.unpack_from("<II", anchor, 16)
        file_set: int | None = None
        for sector in range(location, location + length // SECTOR):
            block = self._at(sector * SECTOR, SECTOR)
            tag = _tag(block)
            if tag == _TAG_PARTITION:
                self._start = struct.unpack_from("<I", block, 188)[0]
            elif tag == _TAG_VOLUME:
                file_set = struct.unpack_from("<I", block, 252)[0]
            elif tag == _TAG_END:
                break
        if file_set is None:
            raise _DamagedError("no UDF volume descriptor")
        block = self._block(file_set)
        if _tag(block) != _TAG_FILE_SET:
            raise _DamagedError("no UDF file set")
        self._udf = True
        return self._udf_node(struct.unpack_from("<I", block, 404)[0], "")

    def _udf_node(self, location: int, name: str) -> Node:
        block = self._block(location)
        tag = _tag(block)
        if tag not in (_TAG_FILE, _TAG_EXTENDED_FILE):
            raise _DamagedError(f"no UDF file entry for {name or 'the root'}")
        folder = block[27] == 4
        flags = struct.unpack_from("<H", block, 34)[0] & 7
        size = struct.unpack_from("<Q", block, 56)[0]
        head = 168 if tag == _TAG_FILE else 208
        attributes, length = struct.unpack_from("<II", block, head)
        at = head + 8 + attributes
        if flags == _EMBEDDED:
            return Node(name, folder, size, ((self._offset(location) + at, size),))
        if flags not in (_SHORT, _LONG):
            raise _DamagedError("UDF allocation of an unknown kind")
        return Node(name, folder, size, tuple(self._extents(block[at : at + length], flags, size)))

    def _extents(self, descriptors: bytes, flags: int, size: int) -> Iterator[tuple[int, int]]:
        step = 8 if flags == _SHORT else 16
        left = size
        at = 0
        while at + step <= len(descriptors) and left > 0:
            length, location = struct.unpack_from("<II", descriptors, at)
            at += step
            kind, length = length >> 30, length & _EXTENT_MASK
            if length == 0:
                return
            if kind == _CONTINUED:
                block = self._block(location)
                descriptors, at = block[24 : 24 + struct.unpack_from("<I", block, 20)[0]], 0
                continue
            take = min(length, left)
            yield self._offset(location), take
            left -= take

    def _udf_children(self, folder: Node) -> Iterator[Node]:
        data = self.read(folder)
        at = 0
        while at + 38 <= len(data):
            if _tag(data[at:]) != _TAG_NAME:
                raise _DamagedError(f"folder {folder.name or '/'} holds something else than names")
            characteristics, name_length = data[at + 18], data[at + 19]
            location = struct.unpack_from("<I", data, at + 24)[0]
            use = struct.unpack_from("<H", data, at + 36)[0]
            raw = data[at + 38 + use : at + 38 + use + name_length]
            at += (38 + use + name_length + 3) & ~3
            if characteristics & 0x0C or not raw:  # deleted, or the parent
                continue
            yield self._udf_node(location, raw[1:].decode("utf-16-be" if raw[0] == 16 else "latin-1", "replace"))

    def _offset(self, location: int) -> int:
        return (self._start + location) * SECTOR

    def _block(self, location: int) -> bytes:
        return self._at(self._offset(location), SECTOR)

    def _at(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)


def _tag(block: bytes) -> int:
    """The descriptor's kind; 0 when its own checksum says that it is none."""
    if len(block) < 16 or (sum(block[:4]) + sum(block[5:16])) & 0xFF != block[4]:
        return 0
    return int.from_bytes(block[:2], "little")

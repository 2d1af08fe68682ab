"""Packs and unpacks one structure of the drivers' interface; does no I/O."""

from __future__ import annotations

import struct

from harness.errors import Failure


class Layout:
    """One structure of a header, little endian, without padding.

    Args:
        name: the structure's name in the header.
        members: (member as C writes it, ``struct`` code) pairs in order; an array is bytes.
    """

    def __init__(self, name: str, *members: tuple[str, str]) -> None:
        self.name = name
        self.members = members
        self._struct = struct.Struct("<" + "".join(code for _, code in members))
        self.size = self._struct.size

    def offsets(self) -> dict[str, int]:
        """Return the offset of each member, in bytes."""
        ends = ["<" + "".join(code for _, code in self.members[:index]) for index in range(len(self.members))]
        return {name: struct.calcsize(end) for (name, _), end in zip(self.members, ends, strict=True)}

    def pack(self, *values: int | bytes) -> bytes:
        """Pack the members' values, given in order."""
        return self._struct.pack(*values)

    def unpack(self, data: bytes, offset: int = 0) -> dict[str, int | bytes]:
        """Unpack the members of the structure at ``offset``.

        Raises:
            Failure: the driver's reply ends before the end of the structure.
        """
        if len(data) < offset + self.size:
            raise Failure(f"the driver answered {len(data)} bytes where struct {self.name} needs {offset + self.size}")
        return dict(zip((name for name, _ in self.members), self._struct.unpack_from(data, offset), strict=True))

    def numbers(self, data: bytes, offset: int = 0) -> dict[str, int]:
        """Unpack the integer members of the structure at ``offset``; raises as ``unpack`` does."""
        return {name: value for name, value in self.unpack(data, offset).items() if isinstance(value, int)}

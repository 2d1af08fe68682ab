"""One structure of the drivers' interface: its bytes to named values and back. No I/O."""

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
        """Where each member starts."""
        ends = ["<" + "".join(code for _, code in self.members[:index]) for index in range(len(self.members))]
        return {name: struct.calcsize(end) for (name, _), end in zip(self.members, ends, strict=True)}

    def pack(self, *values: int | bytes) -> bytes:
        """The structure with its members' values in order."""
        return self._struct.pack(*values)

    def unpack(self, data: bytes, offset: int = 0) -> dict[str, int | bytes]:
        """The members of the structure at ``offset``.

        Raises:
            Failure: the driver answered with fewer bytes.
        """
        if len(data) < offset + self.size:
            raise Failure(f"the driver answered {len(data)} bytes where struct {self.name} needs {offset + self.size}")
        return dict(zip((name for name, _ in self.members), self._struct.unpack_from(data, offset), strict=True))

    def numbers(self, data: bytes, offset: int = 0) -> dict[str, int]:
        """The integer members of the structure at ``offset``; Failure as for ``unpack``."""
        return {name: value for name, value in self.unpack(data, offset).items() if isinstance(value, int)}

"""Notices frames to the reserved group addresses that a bridge may not forward: 01:80:C2:00:00:00 to 0F.

The kernel counts such a frame among the drops of the port that received it (IEEE Std 802.1Q, table 8-1; br_input.c).
No capture on the bridge sees it, and nothing of what was to be captured was lost by it: it is the guest's frame.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import LabError

_ETH_P_ALL = 0x0003
_OUTGOING = 4  # PACKET_OUTGOING
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER of <asm-generic/socket.h>
_INSTRUCTION = struct.Struct("HBBI")
_FILTER = (
    (0x28, 0, 0, 0xFFFFF004),  # the packet type
    (0x15, 5, 0, _OUTGOING),
    (0x20, 0, 0, 0),  # the destination's first four bytes
    (0x15, 0, 3, 0x0180C200),
    (0x28, 0, 0, 4),  # and its last two
    (0x35, 1, 0, 0x0010),
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)
_MOST_KEPT = 1000
_SPANNING_TREE, _PAUSE = 0, 1


class ReservedFrames:
    """Listens on all ports of a bridge, those to come as well, from its making to its end.

    Args:
        bridge: its name.

    ``dropped`` is how many of them the kernel has counted among the drops of the ports so far.

    Raises:
        LabError: the right to capture is missing.
    """

    def __init__(self, bridge: str) -> None:
        self._folder = Path("/sys/class/net")
        self._bridge = bridge
        self.dropped = 0
        self._kept: list[tuple[str, bytes]] = []
        program = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*line) for line in _FILTER))
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            attached = struct.pack("HxxxxxxP", len(_FILTER), ctypes.addressof(program))
            self._socket.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, attached)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        except OSError as error:
            raise LabError(f"cannot listen on the ports of {bridge}: {error}") from error
        self._drain()  # what came before there was a filter

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._socket.close()

    def take(self) -> list[tuple[str, bytes]]:
        """The frames since the last call, each with the port that received it; the first thousand of them."""
        self._read()
        kept, self._kept = self._kept, []
        return kept

    def note(self) -> None:
        """Read what came so far: once an interface is gone, nobody can say whether it was a port."""
        self._read()

    def lost(self, counted: Callable[[], int]) -> int:
        """Frames that the ports dropped, without those that are no loss.

        Args:
            counted: all drops of the bridge and its ports.
        """
        while True:
            self._read()
            before, drops = self.dropped, counted()
            self._read()
            if self.dropped == before:
                return drops - before

    def _read(self) -> None:
        while True:
            try:
                frame, (port, *_) = self._socket.recvfrom(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:  # an interface went away
                continue
            last = frame[5]
            if self._is_port(port) and not self._forwards(port, last):
                self.dropped += last not in (_SPANNING_TREE, _PAUSE)  # these two the bridge takes itself
                if len(self._kept) < _MOST_KEPT:
                    self._kept.append((port, frame))

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1, socket.MSG_DONTWAIT)

    def _is_port(self, name: str) -> bool:
        try:
            return (self._folder / name / "brport" / "bridge").resolve().name == self._bridge
        except OSError:
            return False

    def _forwards(self, port: str, last: int) -> bool:
        """Whether the bridge passes on a frame to the reserved address that ends so; then the record holds it."""
        if last == _SPANNING_TREE and not self._number(f"{self._bridge}/bridge/stp_state"):
            return True
        mask = self._number(f"{self._bridge}/bridge/group_fwd_mask") | self._number(f"{port}/brport/group_fwd_mask")
        return last != _PAUSE and bool(mask >> last & 1)

    def _number(self, name: str) -> int:
        try:
            return int(os.fsdecode((self._folder / name).read_bytes()).strip(), 0)
        except (OSError, ValueError):
            return 0

"""Marker frames: the host's own frames on the bridge that open and close each case in the capture.

A marker has EtherType 0x88B5 (IEEE Std 802, local experimental) and goes from the bridge's address to itself, so no
guest ever receives one. Payload, network byte order: "WSKM", version, edge, length of the case's name (16 bits), run id
(16 bytes), case number and sequence number (32 bits each), the name in UTF-8, zeros up to the Ethernet minimum. With
the names in it, a capture file says by itself which frames are whose.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field
from enum import IntEnum

from harness.errors import LabError

ETHERTYPE = 0x88B5
MINIMUM = 60  # IEEE Std 802.3 minimum frame without FCS

_ETHERNET = struct.Struct("!6s6sH")
_PAYLOAD = struct.Struct("!4sBBH16sII")
_MAGIC, _VERSION = b"WSKM", 1
_LONGEST_NAME = 1000
SILENCE = "silence"
"""Name of the stretch in which a guest must send nothing; it is marked like a case and is none."""


class Edge(IntEnum):
    """What a marker says."""

    START = 0
    END = 1
    LIVE = 2


@dataclass(frozen=True, slots=True)
class Marker:
    """One marker.

    Args:
        run: 16 bytes that tell this capture session from any other.
        case: number of the case within the session, from 1; 0 for a liveness marker.
        edge: start or end of the case, or proof that the capture is live.
        sequence: counts the session's markers.
        name: the case's name, cut to 1000 bytes on the wire; empty for a liveness marker.
    """

    run: bytes
    case: int
    edge: Edge
    sequence: int
    name: str = field(default="", compare=False)

    def encode(self, mac: bytes) -> bytes:
        """The frame that carries this marker from ``mac`` (6 bytes) to itself."""
        name = _cut(self.name)
        payload = _PAYLOAD.pack(_MAGIC, _VERSION, self.edge, len(name), self.run, self.case, self.sequence)
        return (_ETHERNET.pack(mac, mac, ETHERTYPE) + payload + name).ljust(MINIMUM, b"\0")


def on_wire(name: str) -> str:
    """A case's name as its markers carry it."""
    return _cut(name).decode(errors="ignore")


def _cut(name: str) -> bytes:
    return name.encode(errors="backslashreplace")[:_LONGEST_NAME]  # half a surrogate pair is written as its escape


def decode(frame: bytes) -> Marker | None:
    """The marker that a captured frame carries; ``None`` when it is not one of ours."""
    if frame[12:14] != b"\x88\xb5" or len(frame) < _ETHERNET.size + _PAYLOAD.size:
        return None
    magic, version, edge, length, run, case, sequence = _PAYLOAD.unpack_from(frame, _ETHERNET.size)
    if magic != _MAGIC or version != _VERSION or edge not in tuple(Edge):
        return None
    start = _ETHERNET.size + _PAYLOAD.size
    return Marker(run, case, Edge(edge), sequence, frame[start : start + length].decode(errors="ignore"))


class MarkerSender:
    """Puts markers on a bridge.

    Args:
        interface: name of the bridge.

    Raises:
        LabError: the interface does not exist, or the right to send raw frames is missing.
    """

    def __init__(self, interface: str) -> None:
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind((interface, 0))
        except OSError as error:
            raise LabError(f"cannot send marker frames on {interface}: {error}") from error
        self._interface = interface
        self._mac: bytes = self._socket.getsockname()[4]

    def send(self, marker: Marker) -> None:
        """Send one marker.

        Raises:
            LabError: the kernel refused it.
        """
        try:
            self._socket.send(self.encoded(marker))
        except OSError as error:
            raise LabError(f"cannot send a marker frame on {self._interface}: {error}") from error

    def encoded(self, marker: Marker) -> bytes:
        """The frame that carries a marker from this sender."""
        return marker.encode(self._mac)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

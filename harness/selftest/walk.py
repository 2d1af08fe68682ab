"""Plays a random sequence (``harness.wsk.walk``) on the driver through ``wsk`` and ``wire``, as a test would.

Every move is legal: it may fail, but never in a way that Windows answers with a bug check. What must come of it, the
model says; so the player asserts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from harness.cell.api import DatagramSocket, Wire, Wsk, pattern
from harness.wsk import options as opt
from harness.wsk.operations import SendPath
from harness.wsk.types import AF_INET, AF_INET6, ControlMessage, Endpoint, Family, Mdl, WskBuf
from harness.wsk.walk import SIZES, SOCKETS, Move

_GROUPS: dict[Family, Endpoint] = {
    AF_INET: Endpoint(IPv4Address("239.1.2.3"), 9100),
    AF_INET6: Endpoint(IPv6Address("ff0e::1234"), 9100),
}
_BROADCAST = Endpoint(IPv4Address("192.0.2.255"), 9100)


@dataclass(slots=True)
class _Seat:
    """One place of a sequence: its socket, and whether a reply waits for it."""

    sock: DatagramSocket
    replies: int = 0


class Walker:
    """Plays moves on up to four sockets.

    Args:
        wsk: the driver.
        wire: the DUT network.
    """

    def __init__(self, wsk: Wsk, wire: Wire) -> None:
        self._wsk, self._wire = wsk, wire
        self._seats: dict[int, _Seat] = {}
        self.made = 0

    def play(self, sequence: Sequence[Move]) -> None:
        """Make the moves in order, then close what is open."""
        for move in sequence:
            self._move(move)
        for place in range(SOCKETS):
            self._close(place)

    def _move(self, move: Move) -> None:
        seat = self._seats.get(move.place)
        self.made += 1
        if move.verb == "open" or seat is None:
            self._close(move.place)
            family = AF_INET if move.number & 1 else AF_INET6
            sock, step = self._wsk.open(family)
            if step.outcome.completion is not None and not step.outcome.completion.status:
                self._seats[move.place] = _Seat(sock)
                if move.number & 6:  # most are bound at once
                    self._bind(sock, move.number >> 3)
        elif move.verb == "close":
            self._close(move.place)
        elif move.verb == "bind":
            self._bind(seat.sock, move.number)
        elif move.verb in ("fix remote", "fix sendto", "clear remote", "clear sendto"):
            self._fix(seat.sock, move)
        elif move.verb in ("ttl", "multicast", "broadcast", "dont fragment", "no checksum", "unknown option"):
            seat.sock.set_option(self._option(seat.sock.family, move))
        elif move.verb in ("reply", "receive"):
            self._receive(seat, move)
        else:
            self._send(seat.sock, move)

    def _close(self, place: int) -> None:
        seat = self._seats.pop(place, None)
        if seat is not None:
            seat.sock.collect()
            seat.sock.close()

    def _bind(self, sock: DatagramSocket, number: int) -> None:
        address = (None, self._wire.guest_address(0, sock.family), self._wire.guest_address(1, sock.family))[number % 3]
        sock.bind(address)

    def _fix(self, sock: DatagramSocket, move: Move) -> None:
        target = None if move.verb.startswith("clear") else self._peer(sock.family, move.number)
        if move.verb.endswith("remote"):
            sock.set_remote_address(target)
        else:
            sock.set_sendto_address(target)

    def _peer(self, family: Family, number: int) -> Endpoint:
        return self._wire.peer(9000 + number % 5, index=number // 5 % 3, family=family)

    @staticmethod
    def _option(family: Family, move: Move) -> opt.SocketOption:
        if move.verb == "ttl":
            return opt.ttl(family, 1 + move.number % 255)
        if move.verb == "multicast":
            return opt.multicast_ttl(family, 1 + move.number % 255)
        if move.verb == "broadcast":
            return opt.broadcast(bool(move.number & 1))
        if move.verb == "dont fragment":
            return opt.dont_fragment(family, bool(move.number & 1))
        if move.verb == "no checksum":
            return opt.no_checksum(bool(move.number & 1))
        return opt.SocketOption(0x7777, move.number % 100, b"\0\0\0\0")

    def _receive(self, seat: _Seat, move: Move) -> None:
        sock = seat.sock
        if sock.local is None:
            return
        if move.verb == "reply":
            self._wire.reply(self._peer(sock.family, move.number), sock, pattern(move.number % 200, move.number))
            seat.replies += 1
        elif seat.replies:
            seat.replies -= 1
            sock.receive(wait_ms=20)

    def _send(self, sock: DatagramSocket, move: Move) -> None:
        data = pattern(SIZES[move.number % len(SIZES)], move.number) + b"%d" % self.made
        target = self._target(sock.family, move)
        if move.verb == "collect":
            sock.collect()
        elif move.verb == "messages":
            sock.send_messages([data, b"", b"tail %d" % self.made][: 1 + move.number % 3], target)
        elif move.verb == "send late":
            sock.send_to(data, target, wait=False)
        elif move.verb == "chain":
            chain = tuple(Mdl(data[at : at + 300], move.number % 4096) for at in range(0, len(data), 300))
            sock.send_to(WskBuf(chain, move.number % len(chain[0].data)), target)
        else:
            path = SendPath.SEND_TO_FROM_DPC if move.verb == "raised" else SendPath.SEND_TO
            control = self._control(sock.family, move)
            sock.send_to(data, target, control=control, reuse_irp=move.verb == "kept irp", path=path)

    def _target(self, family: Family, move: Move) -> Endpoint | None:
        if move.verb == "send null":
            return None
        kind = move.number >> 8 & 15
        if kind == 0:
            return _GROUPS[family]
        if kind == 1 and family is AF_INET:
            return _BROADCAST
        return self._peer(family, move.number >> 12)

    def _control(self, family: Family, move: Move) -> tuple[ControlMessage, ...]:
        if move.verb == "tos":
            value = move.number & 0xFC
            return (opt.tos(value) if family is AF_INET else opt.traffic_class(value),)
        if move.verb == "source":
            return (opt.pktinfo(self._wire.guest_address(move.number & 1, family)),)
        return ()

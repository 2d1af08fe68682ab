"""The host peers' sockets: what they send to the guest. They read nothing; the capture sees what the guest sends.

A peer's socket is bound to one address and port and lives as long as the session, so that its port is never closed to
what the guest sends there.
"""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

from harness.errors import LabError
from harness.wsk.types import Endpoint, Family


class Peers:
    """UDP sockets on the host's addresses of the DUT network, made when they are first needed."""

    def __init__(self) -> None:
        self._sockets: dict[Endpoint, socket.socket] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def send(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        """Send one datagram.

        Raises:
            LabError: the host has no such address, or cannot send.
        """
        try:
            self._socket(source).sendto(data, (str(destination.address), destination.port))
        except OSError as error:
            raise LabError(f"the host peer {source} cannot send to {destination}: {error}") from error

    def close(self) -> None:
        """Close all sockets."""
        for peer in self._sockets.values():
            peer.close()
        self._sockets.clear()

    def _socket(self, source: Endpoint) -> socket.socket:
        if source not in self._sockets:
            family = socket.AF_INET if source.family is Family.INET else socket.AF_INET6
            made = socket.socket(family, socket.SOCK_DGRAM)
            try:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
                made.bind((str(source.address), source.port))
            except OSError:
                made.close()
                raise
            self._sockets[source] = made
        return self._sockets[source]

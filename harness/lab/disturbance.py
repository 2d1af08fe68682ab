"""Notices what happens to the lab's interfaces while cases run: a cable pulled, a bridge down, a stranger's MAC.

The kernel tells of each change by netlink, so that one which is undone before anybody looks is noticed as well.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from pyroute2 import IPRoute
from pyroute2.netlink.rtnl import RTMGRP_LINK, RTMGRP_NEIGH
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

_UP = 0x10001  # IFF_UP and IFF_LOWER_UP: somebody wants it up, and it has carrier
_MOST = 1 << 16
_BRIDGED = socket.AddressFamily(7)  # AF_BRIDGE: what a message says of an interface as a port of a bridge


class Disturbances:
    """Listens from its making to its end.

    Args:
        taps: interfaces of the guest, each with the bridge that it is a port of. What the host does not have is left
            out: a guest may run on another one.
        mac: of the NIC under test; nobody else may send with it on the bridge of ``dut``.
        dut: tap of the NIC under test.
    """

    def __init__(self, taps: Mapping[str, str], mac: str, dut: str) -> None:
        self._mac = mac.lower()
        # Before the look at what is there: what changes meanwhile is told twice rather than never.
        self._events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._events.bind((0, RTMGRP_LINK | RTMGRP_NEIGH))
        self._marshal: Any = MarshalRtnl()
        with IPRoute() as netlink:
            links = list(netlink.get_links())
        names = {link["index"]: str(link.get_attr("IFLA_IFNAME")) for link in links}
        numbers = {name: index for index, name in names.items()}
        self._names = names
        self._guarded = {
            numbers[name]: numbers.get(master)
            for name, master in (*taps.items(), *((bridge, "") for bridge in taps.values()))
            if name in numbers
        }
        self._dut = numbers.get(dut)
        self._dut_bridge = numbers.get(taps.get(dut, ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._events.close()

    def told(self) -> tuple[str, ...]:
        """What has happened since the last call, each once, in words."""
        words: dict[str, None] = {}
        while True:
            try:
                data = self._events.recv(_MOST, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return tuple(words)
            except OSError as error:  # ENOBUFS: more has happened than the kernel could tell
                words[f"too much happened to the lab's interfaces to tell: {error.strerror}"] = None
                continue
            for message in self._marshal.parse(data):
                words.update(dict.fromkeys(self._words(message)))

    def _words(self, message: Any) -> Iterable[str]:  # noqa: ANN401
        kind = message["event"]
        if kind == "RTM_NEWNEIGH":
            yield from self._heard(message)
        if kind not in ("RTM_NEWLINK", "RTM_DELLINK") or message["index"] not in self._guarded:
            return
        name, master = self._names[message["index"]], self._guarded[message["index"]]
        if kind == "RTM_DELLINK":
            left = message["family"] == _BRIDGED
            yield f"{name} was taken off {self._names.get(master or 0)}" if left else f"{name} was removed"
        elif master is not None and message.get_attr("IFLA_MASTER") != master:
            yield f"{name} was taken off {self._names.get(master)}"
        elif message["flags"] & _UP != _UP:
            yield f"{name} went down"

    def _heard(self, message: Any) -> Iterable[str]:  # noqa: ANN401
        """A bridge learns by which port a MAC is reached from the frames that come from there."""
        port = message["ifindex"]
        if message["family"] != _BRIDGED or port in (self._dut, self._dut_bridge) or self._dut is None:
            return
        if message.get_attr("NDA_LLADDR") == self._mac and message.get_attr("NDA_MASTER") == self._dut_bridge:
            yield f"a stranger on {self._names.get(port, port)} sends with the MAC of the NIC under test"

"""What a lab asks of its two bridges, whoever made them: facts for the results, ports, drop counters.

With ``network`` (bridges of the lab's own) and ``host_network`` (bridges that a host has) the only place that speaks
netlink.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from harness.errors import LabError

BRIDGE_NF = ("bridge-nf-call-arptables", "bridge-nf-call-ip6tables", "bridge-nf-call-iptables")


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What results must say of the network that frames were seen on.

    Args:
        kernel: release of the host's kernel.
        bridge_nf: netfilter on bridges by sysctl name ("0" is off); empty when the kernel has no br_netfilter.
        mtu: MTU of the DUT bridge.
        mac: MAC of the DUT bridge, which all host peers have.
    """

    kernel: str
    bridge_nf: dict[str, str]
    mtu: int
    mac: str

    @property
    def problems(self) -> tuple[str, ...]:
        """Why a capture on the bridge would not show what was sent; empty when all is well."""
        return tuple(
            f"{name} is {value}: the bridge shows reassembled or trimmed frames"
            for name, value in self.bridge_nf.items()
            if value != "0"
        )


@dataclass(frozen=True, slots=True)
class PortCounters:
    """Frames that the kernel dropped on the DUT bridge and its ports since they exist."""

    dropped: dict[str, int]

    def since(self, earlier: PortCounters) -> dict[str, int]:
        """Drops by interface since ``earlier``, only where there were any."""
        grown = {name: count - earlier.dropped.get(name, 0) for name, count in self.dropped.items()}
        return {name: count for name, count in grown.items() if count > 0}


class Bridges(ABC):
    """The DUT bridge and the control bridge while the context lasts.

    Args:
        dut, control: names of the bridges.
    """

    def __init__(self, dut: str, control: str) -> None:
        self.dut = dut
        self.control = control
        self._netlink: Any = None
        self._facts: NetworkFacts | None = None

    def __enter__(self) -> Self:
        try:
            self._netlink = IPRoute()
            self._open()
            link = self._netlink.get_links(self._index(self.dut))[0]
            mtu, mac = int(link.get_attr("IFLA_MTU")), str(link.get_attr("IFLA_ADDRESS"))
            self._facts = NetworkFacts(os.uname().release, _bridge_nf(), mtu, mac)
        except NetlinkError as error:
            self.close()
            raise LabError(
                f"cannot use the bridges {self.dut} and {self.control}: {error}", mend="harness doctor"
            ) from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def facts(self) -> NetworkFacts:
        """What the results record of this network."""
        assert self._facts is not None, "not entered"
        return self._facts

    def close(self) -> None:
        """End the use of the bridges; what was made for it goes."""
        if self._netlink is not None:
            with contextlib.suppress(NetlinkError, IndexError):
                self._release()
            self._netlink.close()
            self._netlink = None

    def counters(self) -> PortCounters:
        """Frames dropped so far on the DUT bridge and on the ports in it."""
        bridge = self._index(self.dut)
        dropped: dict[str, int] = {}
        for link in self._netlink.get_links():
            if link["index"] == bridge or link.get_attr("IFLA_MASTER") == bridge:
                stats = link.get_attr("IFLA_STATS64")
                # Outbound drops of the bridge are frames to a MAC that nobody has: not lost to the capture.
                dropped[link.get_attr("IFLA_IFNAME")] = int(stats["rx_dropped"])
        return PortCounters(dropped)

    def ports(self) -> tuple[str, ...]:
        """Names of the interfaces enslaved to the DUT bridge (the guest's tap and whatever else)."""
        bridge = self._index(self.dut)
        links = self._netlink.get_links()
        return tuple(link.get_attr("IFLA_IFNAME") for link in links if link.get_attr("IFLA_MASTER") == bridge)

    @abstractmethod
    def _open(self) -> None:
        """Make or find the bridges."""

    @abstractmethod
    def _release(self) -> None:
        """Undo ``_open``."""

    def _index(self, name: str) -> int:
        return int(self._netlink.link_lookup(ifname=name)[0])


def _bridge_nf() -> dict[str, str]:
    """Values of netfilter on bridges that are in force."""
    paths = {name: Path("/proc/sys/net/bridge") / name for name in BRIDGE_NF}
    return {name: path.read_text().strip() for name, path in paths.items() if path.exists()}

"""Builds the lab's two bridges inside the worker's network namespace; the only module that speaks netlink.

``dut0`` carries the NIC under test and the host peers' addresses, ``ctl0`` the control NIC. The host answers ARP and
neighbour solicitations on ``dut0`` and is silent otherwise, so whatever else is seen there comes from the guest.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from harness.errors import LabError

DUT_BRIDGE, CONTROL_BRIDGE = "dut0", "ctl0"
SPARE_PORT, SPARE_END = "dut0-port", "dut0-end"
"""A pair of interfaces: one end is a port of the DUT bridge, which so has carrier while no guest runs, and what is sent
into the other end reaches the bridge as a guest's frames do."""
DUT_BRIDGE_MAC, CONTROL_BRIDGE_MAC = "02:00:00:00:d0:01", "02:00:00:00:c0:01"
DUT_NIC_MAC, CONTROL_NIC_MAC = "52:54:00:d0:00:01", "52:54:00:c0:00:01"

PEERS: tuple[IPv4Address | IPv6Address, ...] = (
    *(IPv4Address(f"192.0.2.{host}") for host in (1, 2, 3)),
    *(IPv6Address(f"2001:db8:0:1::{host}") for host in (1, 2, 3)),
)
"""The host's addresses on the DUT bridge; all of them have the bridge's MAC."""

CONTROL_HOST, CONTROL_GUEST = IPv4Address("198.51.100.1"), IPv4Address("198.51.100.10")

_PREFIX = {4: 24, 6: 64}
_IFA_F_NODAD = 0x02
_PROTO_ICMP, _PROTO_ICMPV6 = 1, 58

_SILENCE = {
    "net/ipv4/ip_forward": "0",
    "net/ipv6/conf/all/forwarding": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/dad_transmits": "0",
    "net/ipv6/conf/default/router_solicitations": "0",
    "net/ipv6/conf/default/addr_gen_mode": "1",
    "net/ipv6/conf/default/mldv1_unsolicited_report_interval": "1",
    "net/ipv6/conf/default/mldv2_unsolicited_report_interval": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
}
"""Settings of the namespace. addr_gen_mode 1: no link-local address, so nobody resolves or announces it. The report
intervals, in milliseconds, end at once what the host says by MLD of its addresses' groups (RFC 3810: for seconds)."""

_BRIDGE_NF = ("bridge-nf-call-arptables", "bridge-nf-call-ip6tables", "bridge-nf-call-iptables")


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What results must say of the network that frames were seen on.

    Args:
        kernel: release of the host's kernel.
        bridge_nf: netfilter on bridges by sysctl name ("0" is off); empty when the kernel has no br_netfilter.
        mtu: MTU of the DUT bridge.
    """

    kernel: str
    bridge_nf: dict[str, str]
    mtu: int

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


class LabNetwork:
    """The lab's network while the context lasts.

    Args:
        mtu: MTU of the DUT bridge; larger than 1500 for jumbo frames.
    """

    def __init__(self, mtu: int = 1500) -> None:
        self._mtu = mtu
        self._netlink: Any = None
        self._facts: NetworkFacts | None = None

    def __enter__(self) -> Self:
        try:
            self._netlink = IPRoute()
            self._build()
        except NetlinkError as error:
            self.close()
            raise LabError(f"cannot build the lab's bridges: {error}", mend="harness doctor") from error
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
        """Remove the bridges; the namespace would do it too."""
        if self._netlink is None:
            return
        for name in (SPARE_PORT, DUT_BRIDGE, CONTROL_BRIDGE):
            with contextlib.suppress(NetlinkError, IndexError):
                self._netlink.link("del", index=self._index(name))
        self._netlink.close()
        self._netlink = None

    def counters(self) -> PortCounters:
        """Frames dropped so far on the DUT bridge and on the ports in it."""
        bridge = self._index(DUT_BRIDGE)
        dropped: dict[str, int] = {}
        for link in self._netlink.get_links():
            if link["index"] == bridge or link.get_attr("IFLA_MASTER") == bridge:
                stats = link.get_attr("IFLA_STATS64")
                # Outbound drops of the bridge are frames to a MAC that nobody has: not lost to the capture.
                dropped[link.get_attr("IFLA_IFNAME")] = int(stats["rx_dropped"])
        return PortCounters(dropped)

    def ports(self) -> tuple[str, ...]:
        """Names of the interfaces enslaved to the DUT bridge (the guest's tap, the spare port)."""
        bridge = self._index(DUT_BRIDGE)
        links = self._netlink.get_links()
        return tuple(link.get_attr("IFLA_IFNAME") for link in links if link.get_attr("IFLA_MASTER") == bridge)

    def _build(self) -> None:
        bridge_nf = _silence()
        self._netlink.link("set", index=self._index("lo"), state="up")
        for name, mac in ((DUT_BRIDGE, DUT_BRIDGE_MAC), (CONTROL_BRIDGE, CONTROL_BRIDGE_MAC)):
            self._netlink.link(
                "add", ifname=name, kind="bridge", address=mac, br_stp_state=0, br_forward_delay=0, br_mcast_snooping=0
            )
        dut, control = self._index(DUT_BRIDGE), self._index(CONTROL_BRIDGE)
        self._netlink.link("set", index=dut, mtu=self._mtu)
        for peer in PEERS:
            self._netlink.addr("add", index=dut, address=str(peer), prefixlen=_PREFIX[peer.version], flags=_IFA_F_NODAD)
        self._netlink.addr("add", index=control, address=str(CONTROL_HOST), prefixlen=24)
        _write("net/ipv6/conf/ctl0/disable_ipv6", "1")
        # A host without a socket on the port answers ICMP errors, which change what the sender sees next. ARP and
        # neighbour advertisements do not ask the rules for a route.
        self._netlink.rule("add", family=2, priority=1, ip_proto=_PROTO_ICMP, action="FR_ACT_BLACKHOLE")
        self._netlink.rule("add", family=10, priority=1, ip_proto=_PROTO_ICMPV6, action="FR_ACT_BLACKHOLE")
        self._netlink.link("add", ifname=SPARE_PORT, kind="veth", peer={"ifname": SPARE_END})
        port, end = self._index(SPARE_PORT), self._index(SPARE_END)
        for name in (SPARE_PORT, SPARE_END):
            _write(f"net/ipv6/conf/{name}/disable_ipv6", "1")
        for index in (port, end):
            self._netlink.link("set", index=index, mtu=self._mtu)
        self._netlink.link("set", index=port, master=dut)
        for index in (dut, control, port, end):
            self._netlink.link("set", index=index, state="up")
        self._facts = NetworkFacts(kernel=os.uname().release, bridge_nf=bridge_nf, mtu=self._mtu)

    def _index(self, name: str) -> int:
        return int(self._netlink.link_lookup(ifname=name)[0])


def _silence() -> dict[str, str]:
    """Write the namespace's settings; gives the values of netfilter on bridges that are then in force."""
    for name, value in _SILENCE.items():
        _write(name, value)
    in_force = {}
    for name in _BRIDGE_NF:
        with contextlib.suppress(LabError):
            _write(f"net/bridge/{name}", "0")
        path = Path("/proc/sys/net/bridge") / name
        if path.exists():
            in_force[name] = path.read_text().strip()
    return in_force


def _write(name: str, value: str) -> None:
    try:
        (Path("/proc/sys") / name).write_text(value)
    except OSError as error:
        raise LabError(f"cannot set {name.replace('/', '.')} to {value} in the lab: {error}") from error

"""Builds the lab's two bridges inside the worker's network namespace.

``dut0`` carries the NIC under test and the host peers' addresses, ``ctl0`` the control NIC. The host answers ARP and
neighbour solicitations on ``dut0`` and is silent otherwise, so whatever else is seen there comes from the guest.
"""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from pyroute2.netlink.exceptions import NetlinkError

from harness.errors import LabError
from harness.lab.bridges import BRIDGE_NF, Bridges

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

GUEST_ADDRESSES = ("192.0.2.10/24", "192.0.2.11/24", "2001:db8:0:1::10/64", "2001:db8:0:1::11/64")
"""The guest's addresses on the NIC under test, two of each family, with their prefix lengths."""

CONTROL_HOST, CONTROL_GUEST = IPv4Address("198.51.100.1"), IPv4Address("198.51.100.10")

_PREFIX = {4: 24, 6: 64}
_IFA_F_NODAD = 0x02
_PROTO_ICMP, _PROTO_ICMPV6 = 1, 58
_FORWARDED = 0xFFF8  # of 01:80:C2:00:00:00 to 0F by the last digit; the kernel lets nobody have 00 to 02 forwarded

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


class LabNetwork(Bridges):
    """The lab's network while the context lasts.

    Args:
        mtu: MTU of the DUT bridge; larger than 1500 for jumbo frames.
    """

    def __init__(self, mtu: int = 1500) -> None:
        super().__init__(DUT_BRIDGE, CONTROL_BRIDGE)
        self._mtu = mtu

    def _release(self) -> None:
        for name in (SPARE_PORT, DUT_BRIDGE, CONTROL_BRIDGE):  # the namespace would do it too
            with contextlib.suppress(NetlinkError, IndexError):
                self._netlink.link("del", index=self._index(name))

    def _open(self) -> None:
        _silence()
        self._netlink.link("set", index=self._index("lo"), state="up")
        for name, mac in ((DUT_BRIDGE, DUT_BRIDGE_MAC), (CONTROL_BRIDGE, CONTROL_BRIDGE_MAC)):
            self._netlink.link(
                "add",
                ifname=name,
                kind="bridge",
                address=mac,
                br_stp_state=0,
                br_forward_delay=0,
                br_mcast_snooping=0,
                br_group_fwd_mask=_FORWARDED,
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


def _silence() -> None:
    """Write the namespace's settings; netfilter on bridges may not be there, or not be ours to switch off."""
    for name, value in _SILENCE.items():
        _write(name, value)
    for name in BRIDGE_NF:
        with contextlib.suppress(LabError):
            _write(f"net/bridge/{name}", "0")


def _write(name: str, value: str) -> None:
    try:
        (Path("/proc/sys") / name).write_text(value)
    except OSError as error:
        raise LabError(f"cannot set {name.replace('/', '.')} to {value} in the lab: {error}") from error

"""Serves the control NIC one fixed address by DHCP; the only module that knows dnsmasq."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from harness.lab.process import Child

READY = "DHCP, sockets bound exclusively to interface"


def serve(bridge: str, mac: str, address: IPv4Address, log: Path, *, seconds: float = 5.0) -> Child:
    """Start a DHCP server that gives ``address`` to ``mac`` and nothing to anybody else; no DNS, no route.

    Args:
        bridge: interface to serve, with an address in the network of ``address``.
        mac: MAC of the control NIC.
        address: address that it gets.
        log: file that takes the server's log, requests and answers included.
        seconds: deadline for readiness.

    Raises:
        LabError: dnsmasq is not installed or gave up.
        AwaitTimeout: it was not ready in time.
    """
    child = Child(
        "the DHCP server (dnsmasq)",
        [
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--group=root"),
            *(f"--interface={bridge}", "--except-interface=lo", "--bind-interfaces", "--pid-file="),
            *(f"--dhcp-range={address},static,infinite", f"--dhcp-host={mac},{address},infinite"),
            *("--dhcp-option=3", "--dhcp-option=6", "--dhcp-authoritative", "--dhcp-rapid-commit", "--no-ping"),
            *("--leasefile-ro", "--log-dhcp", "--log-facility=-"),
        ],
        log,
    )
    try:
        child.await_output(READY, seconds)
    except BaseException:
        child.end()
        raise
    return child

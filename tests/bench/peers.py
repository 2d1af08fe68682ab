"""What other tools do with a capture: read addresses, ports and payload of each datagram (``python -m ... TOOL FILE``).

Each does less than the harness: none of them holds anything against a prediction.
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

FIELDS = ("frame.number", "ip.src", "ip.dst", "udp.srcport", "udp.dstport", "ip.ttl", "udp.payload",
          "ip.checksum.status", "udp.checksum.status")  # fmt: skip


def tshark(path: Path) -> list[str]:
    """The command of tshark's field output, checksums verified."""
    fields = [word for name in FIELDS for word in ("-e", name)]
    checks = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-d", "udp.port==0-65535,data"]
    return ["tshark", "-n", "-r", str(path), *checks, "-T", "fields", *fields]


def dpkt(path: Path, most: int) -> int:
    """Datagrams that dpkt reads."""
    import dpkt as library

    count = 0
    with path.open("rb") as file:
        for _, data in islice(library.pcapng.Reader(file), most):
            packet = library.ethernet.Ethernet(data).data
            if isinstance(packet, library.ip.IP) and isinstance(packet.data, library.udp.UDP):
                datagram = packet.data
                count += (packet.src, packet.dst, datagram.sport, datagram.dport, bytes(datagram.data)) is not None
    return count


def scapy(path: Path, most: int) -> int:
    """Datagrams that scapy reads."""
    from scapy.layers.inet import IP, UDP
    from scapy.utils import PcapNgReader

    count = 0
    with PcapNgReader(str(path)) as reader:
        for packet in islice(reader, most):
            if UDP in packet:
                datagram = packet[UDP]
                told = (packet[IP].src, packet[IP].dst, datagram.sport, datagram.dport, bytes(datagram.payload))
                count += told is not None
    return count


def pyshark(path: Path, most: int) -> int:
    """Datagrams that pyshark reads."""
    import pyshark as library

    count = 0
    capture = library.FileCapture(str(path), keep_packets=False, use_ek=False, override_prefs={}, display_filter="udp")
    for packet in islice(capture, most):
        datagram = packet.udp
        count += (packet.ip.src, packet.ip.dst, datagram.srcport, datagram.dstport, datagram.payload) is not None
    capture.close()
    return count


if __name__ == "__main__":
    tool, name, limit = sys.argv[1:]
    print({"dpkt": dpkt, "scapy": scapy, "pyshark": pyshark}[tool](Path(name), int(limit)))

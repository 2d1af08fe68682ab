"""Run in a network namespace of its own: sends datagrams with plain UDP sockets and prints the frames that left.

Standard input: a JSON list of sends. Standard output: JSON with the interface's MAC, each socket's port and the frames
in hexadecimal. Not a test; ``test_model_kernel`` starts it.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import Any

PEER = "02:00:00:00:d0:01"
SETUP = """
link add d0 address 52:54:00:d0:00:01 type veth peer name d1
link set d1 up
link set d0 gso_max_segs 1
link set d0 up
-4 addr add 192.0.2.10/24 broadcast + dev d0
-6 addr add 2001:db8:0:1::10/64 dev d0 nodad
-4 route add 255.255.255.255 dev d0
-4 route add 224.0.0.0/4 dev d0
-6 route replace multicast ff00::/8 dev d0 table local metric 1
-4 neigh replace 192.0.2.1 lladdr 02:00:00:00:d0:01 dev d0 nud permanent
-6 neigh replace 2001:db8:0:1::1 lladdr 02:00:00:00:d0:01 dev d0 nud permanent
"""


def send(job: dict[str, Any]) -> int:
    """One send on a socket of its own; its port."""
    family = socket.AF_INET6 if job["six"] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        for level, name, value in job["options"]:
            sock.setsockopt(level, name, value)
        sock.bind(("::" if job["six"] else "0.0.0.0", 0))
        ancillary = [(level, kind, bytes.fromhex(data)) for level, kind, data in job["control"]]
        sock.sendmsg([bytes.fromhex(job["payload"])], ancillary, 0, (job["to"], 9000))
        return int(sock.getsockname()[1])


def main() -> None:
    """Set the namespace up, send everything, print what left."""
    with open("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "w") as file:
        file.write("1")
    for line in SETUP.strip().splitlines():
        subprocess.run(["ip", *line.split()], check=True)
    jobs = json.load(sys.stdin)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x0003)) as tap:
        tap.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        tap.bind(("d0", 0x0003))
        ports = [send(job) for job in jobs]
        tap.setblocking(False)
        frames = []
        try:
            while True:
                data = tap.recv(70000)
                if data[6:12] == bytes.fromhex("525400d00001"):
                    frames.append(data.hex())
        except BlockingIOError:
            pass
    json.dump({"ports": ports, "frames": frames}, sys.stdout)


if __name__ == "__main__":
    main()

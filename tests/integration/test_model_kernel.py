"""The Linux profile against a Linux kernel: the same sends by plain UDP sockets must be what the model predicts."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

import pytest

from harness.capture.frames import CapturedFrame, Integrity
from harness.model.predict import predict
from harness.model.profile import LINUX
from harness.model.site import Site
from harness.verify.judge import judge
from harness.verify.verdict import Status
from harness.wsk import operations as op
from harness.wsk import options as opt
from harness.wsk.types import AF_INET, AF_INET6, Completion, ControlMessage, Endpoint, WskBuf

SENDER = Path(__file__).with_name("kernel_sender.py")
IP, IP6, UDP, SOCKET = 0, 41, 17, 1  # Linux' levels


@dataclass(frozen=True)
class Send:
    """One send in Windows' words, and the same in Linux' numbers."""

    name: str
    to: str
    payload: bytes
    options: tuple[opt.SocketOption, ...] = ()
    control: tuple[ControlMessage, ...] = ()
    linux_options: tuple[tuple[int, int, int], ...] = ()
    linux_control: tuple[tuple[int, int, bytes], ...] = ()

    @property
    def six(self) -> bool:
        """Whether the socket is an IPv6 one."""
        return ":" in self.to


def pattern(size: int) -> bytes:
    return bytes((n * 13 + size) & 0xFF for n in range(size))


def integer(value: int) -> bytes:
    return struct.pack("=i", value)


SENDS = (
    *(Send(f"ipv4 {n} bytes", "192.0.2.1", pattern(n)) for n in (0, 1, 18, 1472, 1473, 2952, 3000, 65506, 65507)),
    *(Send(f"ipv6 {n} bytes", "2001:db8:0:1::1", pattern(n)) for n in (0, 1, 1452, 1453, 3000, 65507, 65527)),
    Send("limited broadcast", "255.255.255.255", b"all", (opt.broadcast(),), (), ((SOCKET, 6, 1),)),
    Send("subnet broadcast", "192.0.2.255", b"all", (opt.broadcast(),), (), ((SOCKET, 6, 1),)),
    Send("ipv4 multicast", "239.1.2.3", b"some"),
    Send("ipv4 multicast, 23 bits", "224.129.2.3", b"some"),
    Send("ipv4 multicast ttl", "239.1.2.3", b"some", (opt.multicast_ttl(AF_INET, 9),), (), ((IP, 33, 9),)),
    Send("ipv4 multicast, loop off", "239.1.2.3", b"x", (opt.multicast_loop(AF_INET, False),), (), ((IP, 34, 0),)),
    Send("ipv6 multicast", "ff0e::1234", b"some"),
    Send("ipv6 multicast hops", "ff0e::1234", b"x", (opt.multicast_ttl(AF_INET6, 9),), (), ((IP6, 18, 9),)),
    Send("ipv4 ttl", "192.0.2.1", b"x", (opt.ttl(AF_INET, 33),), (), ((IP, 2, 33),)),
    Send("ipv6 hops", "2001:db8:0:1::1", b"x", (opt.ttl(AF_INET6, 33),), (), ((IP6, 16, 33),)),
    Send("fragments allowed", "192.0.2.1", b"x", (opt.mtu_discover(AF_INET, 2),), (), ((IP, 10, 0),)),
    Send("dont fragment", "192.0.2.1", pattern(1472), (opt.dont_fragment(AF_INET),), (), ((IP, 10, 2),)),
    Send("no checksum", "192.0.2.1", b"abc", (opt.no_checksum(),), (), ((SOCKET, 11, 1),)),
    Send("no checksum, fragmented", "192.0.2.1", pattern(3000), (opt.no_checksum(),), (), ((SOCKET, 11, 1),)),
    Send("tos", "192.0.2.1", b"x", (), (opt.tos(0xB8),), (), ((IP, 1, integer(0xB8)),)),
    Send("ecn", "192.0.2.1", b"x", (), (opt.ecn(AF_INET, 2),), (), ((IP, 1, integer(2)),)),
    Send("traffic class", "2001:db8:0:1::1", b"x", (), (opt.traffic_class(0x20),), (), ((IP6, 67, integer(0x20)),)),
    Send(
        "packet information",
        "192.0.2.1",
        b"x",
        (),
        (opt.pktinfo(IPv4Address("192.0.2.10")),),
        (),
        ((IP, 8, struct.pack("=i4s4s", 0, IPv4Address("192.0.2.10").packed, bytes(4))),),
    ),
    Send("v4-mapped", "::ffff:192.0.2.1", b"x", (opt.v6only(False),), (), ((IP6, 26, 0),)),
    Send("v4-mapped, fragmented", "::ffff:192.0.2.1", pattern(4000), (opt.v6only(False),), (), ((IP6, 26, 0),)),
    Send("segments", "192.0.2.1", pattern(250), (), (opt.segment(100),), (), ((UDP, 103, struct.pack("=H", 100)),)),
)


@pytest.fixture(scope="module")
def kernel() -> dict[str, Any]:
    """What the kernel sent for all of ``SENDS``."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("needs unshare and ip")
    jobs = [
        {
            "six": send.six,
            "to": send.to,
            "payload": send.payload.hex(),
            "options": send.linux_options,
            "control": [(level, kind, data.hex()) for level, kind, data in send.linux_control],
        }
        for send in SENDS
    ]
    private = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    command = [*private, sys.executable, str(SENDER)]
    ran = subprocess.run(command, input=json.dumps(jobs), capture_output=True, text=True, timeout=60, check=False)
    if ran.returncode and "unshare" in ran.stderr:
        pytest.skip(f"no network namespace: {ran.stderr.strip()}")
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def steps_of(number: int, send: Send, port: int) -> list[op.Step]:
    """The steps of one send on a socket of its own."""
    family = AF_INET6 if send.six else AF_INET
    wild = Endpoint(type(ip_address(send.to))(0), 0)
    size = len(send.payload)
    done = op.Outcome(completion=Completion(0x103, 0, 0, 1, 0, True))
    sent = op.Outcome(completion=Completion(0x103, 0, size, 1, 0, True))
    told = op.Outcome(completion=done.completion, endpoint=Endpoint(wild.address, port))
    made: list[tuple[op.Operation, op.Outcome]] = [(op.Open(number, family), done)]
    made += [(option.on(number), done) for option in send.options]
    made += [(op.Bind(number, wild), done), (op.GetLocalAddress(number), told)]
    to = Endpoint(ip_address(send.to), 9000)
    made += [(op.SendTo(number, WskBuf.of(send.payload), to, control=send.control), sent), (op.Close(number), done)]
    return [op.Step(number * 100 + n, send.name, operation, outcome) for n, (operation, outcome) in enumerate(made)]


def test_the_model_predicts_what_the_kernel_sends(kernel: dict[str, Any]) -> None:
    site = Site.of(
        "52:54:00:d0:00:01",
        ["192.0.2.10/24", "2001:db8:0:1::10/64"],
        dict.fromkeys(["192.0.2.1", "2001:db8:0:1::1"], "02:00:00:00:d0:01"),
        LINUX,
        partial_checksum=True,
    )
    steps = [
        step
        for number, (send, port) in enumerate(zip(SENDS, kernel["ports"], strict=True))
        for step in steps_of(number, send, port)
    ]
    raw = [bytes.fromhex(text) for text in kernel["frames"]]
    frames = [CapturedFrame(n, n, data, len(data)) for n, data in enumerate(raw, 1)]
    result = judge(predict(steps, site), steps, frames, Integrity(), site, tshark=False)
    names = {step.number: step.case for step in steps}
    wrong = [f"{names.get(item.operation or -1)}: {item.line()}" for item in result.findings]
    assert wrong == []
    assert result.status is Status.PASSED
    assert result.counts.matched == len(SENDS) + 2

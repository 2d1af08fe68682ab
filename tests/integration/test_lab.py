"""The lab: its network is silent and answers, its DHCP gives one address, and nothing outlives it."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import AwaitTimeout, LabError
from harness.lab import dhcp, namespace
from harness.lab.disturbance import Disturbances
from harness.lab.growth import Growth
from harness.lab.network import (
    CONTROL_BRIDGE,
    CONTROL_GUEST,
    CONTROL_NIC_MAC,
    DUT_BRIDGE,
    DUT_NIC_MAC,
    SPARE_PORT,
    LabNetwork,
)
from harness.lab.process import Child
from tests.integration.frames import datagram, datagram6, guest_socket

ROOT = Path(__file__).resolve().parents[2]

# A worker as the harness starts them: a lab with network, DHCP, a child and a temporary file; says "up" and waits.
WORKER = """
import signal, sys, tempfile
from harness.lab import dhcp, namespace
from harness.lab.network import CONTROL_BRIDGE, CONTROL_GUEST, CONTROL_NIC_MAC, LabNetwork
from harness.lab.process import Child
work = namespace.enter()
with LabNetwork(), dhcp.serve(CONTROL_BRIDGE, CONTROL_NIC_MAC, CONTROL_GUEST, work / "dhcp.log"):
    Child("a child", ["sleep", TOKEN], work / "child.log")
    tempfile.NamedTemporaryFile(prefix="wsk-leak-", delete=False)
    print("up", flush=True)
    signal.pause()
"""
OUTER = """
import subprocess, sys
from harness.lab import namespace
subprocess.run(namespace.command([sys.executable, "-c", WORKER]), stdin=subprocess.PIPE)
"""


def received(raw: socket.socket, seconds: float) -> Iterator[bytes]:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([raw], [], [], left)[0]:
            frame, address = raw.recvfrom(65536)
            if address[2] != socket.PACKET_OUTGOING:
                yield frame


def settled(raw: socket.socket) -> None:
    """Wait out the multicast reports that the host makes when it gets its IPv6 addresses."""
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < 0.4:
        for _ in received(raw, 0.1):
            quiet_since = time.monotonic()


@pytest.mark.lab
def test_a_host_without_a_socket_on_the_port_answers_no_icmp() -> None:
    with LabNetwork(), contextlib.closing(guest_socket()) as raw:
        settled(raw)
        raw.send(datagram(b"nobody listens"))
        raw.send(datagram6(b"nobody listens"))
        assert list(received(raw, 0.5)) == []


@pytest.mark.lab
def test_the_host_answers_arp_for_every_peer() -> None:
    with LabNetwork(), contextlib.closing(guest_socket()) as raw:
        guest = bytes.fromhex("525400d00001")
        for last in (1, 2, 3):
            question = bytes.fromhex("0001080006040001") + guest + bytes([192, 0, 2, 10]) + bytes(6)
            raw.send(b"\xff" * 6 + guest + b"\x08\x06" + question + bytes([192, 0, 2, last]))
            answers = (frame for frame in received(raw, 2) if frame[12:14] == b"\x08\x06" and frame[21] == 2)
            assert next(answers)[22:32] == bytes.fromhex("02000000d001") + bytes([192, 0, 2, last])


@pytest.mark.lab
def test_netfilter_is_off_on_bridges_and_recorded() -> None:
    with LabNetwork() as network:
        assert network.facts.problems == ()
        assert all(value == "0" for value in network.facts.bridge_nf.values())
        assert network.facts.kernel == os.uname().release


@pytest.mark.lab
def test_no_way_leads_out_of_the_lab() -> None:
    with LabNetwork(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        assert os.listdir("/sys/class/net/dut0/brif") == ["dut0-port"]
        with pytest.raises(OSError, match="unreachable"):
            outside.connect(("203.0.113.1", 9))


@pytest.mark.lab
def test_dhcp_is_ready_when_it_says_so_and_says_who_it_serves() -> None:
    log = namespace.WORK / "dhcp.log"
    with LabNetwork(), dhcp.serve(CONTROL_BRIDGE, CONTROL_NIC_MAC, CONTROL_GUEST, log) as server:
        server.require_alive()
        assert "static leases only on 198.51.100.10" in log.read_text()
    assert server.exit_code is not None


@pytest.mark.lab
def test_dhcp_on_a_missing_bridge_is_a_lab_error_with_the_reason() -> None:
    with pytest.raises(LabError) as caught:
        dhcp.serve("nosuch0", CONTROL_NIC_MAC, CONTROL_GUEST, namespace.WORK / "dhcp.log")
    assert "nosuch0" in caught.value.detail


@pytest.mark.lab
def test_folders_under_run_that_are_to_be_kept_stay_reachable(tmp_path: Path) -> None:
    # /run of this lab stands for the host's /run: a lab inside the lab must still reach what it is told to keep.
    kept = Path("/run/kept/deep")
    kept.mkdir(parents=True)
    (kept / "file").write_text("there")
    inner = "from pathlib import Path; from harness.lab import namespace; k = Path('/run/kept/deep');"
    inner += "namespace.enter([k]); (k / 'new').write_text('written'); print((k / 'file').read_text())"
    answer = subprocess.run(
        namespace.command([sys.executable, "-c", inner]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert answer.stdout.strip() == "there", answer.stderr
    assert (kept / "new").read_text() == "written"


@pytest.mark.lab
def test_a_child_that_dies_is_named_with_its_last_words() -> None:
    child = Child("the child", ["sh", "-c", "echo the reason >&2; exit 7"], namespace.WORK / "log")
    with pytest.raises(LabError, match="the child ended by itself \\(exit code 7\\)") as caught:
        child.await_output("never", 5)
    assert caught.value.detail == "the reason"


def test_growth_gives_up_at_its_deadline(tmp_path: Path) -> None:
    with Growth(tmp_path / "file") as growth, pytest.raises(AwaitTimeout, match=r"waited 0\.2 s for a miracle"):
        growth.until(lambda: None, "a miracle", 0.2)


def tokens_alive(token: str) -> list[int]:
    """Processes of this token that are not zombies."""
    alive = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if token.encode() in (folder / "cmdline").read_bytes():
                alive.append(int(folder.name))
    return alive


def traces(token: str) -> dict[str, object]:
    """What a lab could leave on the host."""
    return {
        "processes": tokens_alive(token),
        "links": sorted(os.listdir("/sys/class/net")),
        "mounts": Path("/proc/self/mounts").read_text(),
        "temporary files": sorted(str(path) for path in Path("/tmp").glob("wsk-leak-*")),
        "run": Path("/run/wsk-harness").exists(),
    }


@pytest.mark.parametrize("moment", ["when up", *random.Random(20).sample(range(5, 400), 6)])
def test_nothing_outlives_a_killed_harness(moment: str | int) -> None:
    token = f"100000.{random.randrange(10**9):09}"
    worker = WORKER.replace("TOKEN", repr(token))
    outer = OUTER.replace("WORKER", repr(worker))
    before = traces(token)
    process = subprocess.Popen(
        [sys.executable, "-c", outer], cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        if isinstance(moment, int):
            time.sleep(moment / 1000)  # the moment is the subject of the test
        else:
            assert process.stdout.readline() == b"up\n"
            assert len(tokens_alive(token)) >= 3
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    deadline = time.monotonic() + 0.5
    while traces(token) != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert traces(token) == before


@pytest.mark.lab
def test_what_happens_to_the_cables_is_told_even_when_it_is_undone() -> None:
    with LabNetwork(), Disturbances({SPARE_PORT: DUT_BRIDGE}, DUT_NIC_MAC, SPARE_PORT) as disturbances:
        assert disturbances.told() == ()
        for master in ("nomaster", f"master {DUT_BRIDGE}"):
            subprocess.run(["ip", "link", "set", SPARE_PORT, *master.split()], check=True)
        assert f"{SPARE_PORT} was taken off {DUT_BRIDGE}" in disturbances.told()
        subprocess.run(["ip", "link", "set", DUT_BRIDGE, "down"], check=True)
        assert f"{DUT_BRIDGE} went down" in disturbances.told()


@pytest.mark.lab
def test_a_stranger_with_the_guests_mac_is_told() -> None:
    subprocess.run(["ip", "tuntap", "add", "tap9", "mode", "tap"], check=True)
    with LabNetwork():
        subprocess.run(["ip", "link", "set", "tap9", "master", DUT_BRIDGE], check=True)
        with (
            Disturbances({"tap9": DUT_BRIDGE}, DUT_NIC_MAC, "tap9") as disturbances,
            contextlib.closing(guest_socket()) as raw,
        ):
            raw.send(datagram(b"not the guest's"))
            deadline = time.monotonic() + 5
            told: tuple[str, ...] = ()
            while not told and time.monotonic() < deadline:
                told = tuple(word for word in disturbances.told() if "stranger" in word)
            assert told == (f"a stranger on {SPARE_PORT} sends with the MAC of the NIC under test",)

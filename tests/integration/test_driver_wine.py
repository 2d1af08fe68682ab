"""The drivers in this host's own Wine, without a VM: loading, ownership, hostile requests, cancellation.

Two sockets of the driver talk to each other over the loopback of a network namespace made for the occasion. It says
nothing about the wire; that is the regression suite's business.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from harness.control.wskctl import WskCtl
from harness.driver_build.build import build
from harness.wsk import abi, layouts
from harness.wsk import operations as ops
from harness.wsk.types import AF_INET, AF_INET6, Endpoint, Mdl, WskBuf

WINE = Path("/usr/lib/wine")
LOOPBACK = IPv4Address("127.0.0.1")
STATUS_CANCELLED = 0xC0000120
STATUS_INVALID_DEVICE_STATE = 0xC0000184

pytestmark = pytest.mark.skipif(not (WINE / "wine64").exists(), reason="wine64 is not installed on this host")


class Wine:
    """A private prefix with our netio.sys, its processes alone in a network namespace."""

    def __init__(self, folder: Path) -> None:
        self.built = build()
        self.environment = {
            "PATH": f"{WINE}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder),
            "WINEPREFIX": str(folder / "prefix"),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            "WINESERVER": str(WINE / "wineserver64"),
            "WINEDLLOVERRIDES": "netio.sys=n;winemenubuilder.exe,explorer.exe,mscoree,mshtml=",
        }
        self.drive = folder / "prefix" / "drive_c"

    def start(self) -> None:
        self.drive.parent.mkdir()
        self._quietly("wine64", "wineboot", "-i")
        self._quietly("wineserver64", "-w")
        shutil.copy(self.built.netio_sys, self.drive / "windows" / "system32" / "drivers" / "netio.sys")
        (self.drive / "harness").mkdir()
        shutil.copy(self.built.wskctl_exe, self.drive / "harness")
        shutil.copy(self.built.wsksend_sys, self.drive / "harness")
        self._quietly("wineserver64", "-p")
        # The first client starts the services, which live in its namespace from then on, and the driver in them.
        root = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
        create = r"wine64 sc create wsksend type= kernel start= demand binPath= 'C:\harness\wsksend.sys'"
        self._quietly(*root, "sh", "-c", f"ip link set lo up && exec {create}")

    def _quietly(self, *command: str) -> None:
        """Run what leaves processes behind, which must not hold on to a pipe of ours."""
        quiet = subprocess.DEVNULL
        subprocess.run(command, env=self.environment, stdout=quiet, stderr=quiet, timeout=120, check=True)

    def run(self, *command: str) -> str:
        done = self._ended(command)
        if "Application could not be started" in done.stdout:  # by Wine; seen once in some thousand, on a busy host
            done = self._ended(command)
        assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def _ended(self, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120, check=False)


class Pipe:
    """A running ``wskctl serve`` as a stream."""

    def __init__(self, wine: Wine) -> None:
        command = ["wine64", r"C:\harness\wskctl.exe", "serve"]
        self.process = subprocess.Popen(
            command, env=wine.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def read(self, size: int) -> bytes:
        assert self.process.stdout
        return self.process.stdout.read(size) or b""

    def write(self, data: bytes) -> None:
        assert self.process.stdin
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view) :]

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    machine = Wine(tmp_path_factory.mktemp("wine"))
    try:
        machine.start()
        yield machine
    finally:
        subprocess.run(["wineserver64", "-k"], env=machine.environment, timeout=60, check=False)


@pytest.fixture
def driver(wine: Wine) -> Iterator[WskCtl]:
    """The loaded driver; afterwards its books must balance and it must unload."""
    wine.run("wine64", "sc", "start", "wsksend")
    pipe = Pipe(wine)
    control = WskCtl(pipe)
    try:
        yield control
        control.detach()
        ledger = control.ledger()
        assert ledger.pop("sends") == ledger.pop("completed")
        assert not any(ledger.values()), ledger
    finally:
        control.close()
        wine.run("wine64", "sc", "stop", "wsksend")
    assert "STOPPED" in wine.run("wine64", "sc", "query", "wsksend")
    assert pipe.process.returncode == 0


def pair(driver: WskCtl) -> Endpoint:
    """Socket 1 to send with, socket 2 to receive; the latter's address."""
    local = Endpoint(LOOPBACK, 0)
    opened = (ops.Open(1, AF_INET), ops.Open(2, AF_INET), ops.Bind(1, local), ops.Bind(2, local))
    endpoint = driver.submit((*opened, ops.GetLocalAddress(2)))[-1].endpoint
    assert endpoint is not None
    return endpoint


def received(driver: WskCtl, capacity: int = 70000) -> bytes:
    outcome = driver.execute(ops.Receive(2, capacity, 2000))
    assert outcome.completion is not None
    assert outcome.completion.status == 0
    return outcome.data


@pytest.mark.parametrize("size", [0, 1, 1472, 1473, 65506, 65507])
def test_a_datagram_arrives_whole(driver: WskCtl, size: int) -> None:
    to = pair(driver)
    payload = random.Random(size).randbytes(size)
    sent = driver.execute(ops.SendTo(1, WskBuf.of(payload), to)).completion
    assert sent is not None
    assert (sent.status, sent.information, sent.completions, sent.pending_returned) == (0, size, 1, True)
    assert received(driver) == payload


def test_mdls_offsets_and_raised_irql_and_a_reused_irp(driver: WskCtl) -> None:
    to = pair(driver)
    buffer = WskBuf((Mdl(b"abc", 4094), Mdl(b"", 7), Mdl(b"defgh", 100)), offset=2, length=4)
    for reuse, path in ((False, ops.SendPath.SEND_TO), (True, ops.SendPath.SEND_TO_FROM_DPC), (True, ops.SendPath(0))):
        driver.execute(ops.SendTo(1, buffer, to, reuse_irp=reuse, path=path))
        assert received(driver) == b"cdef"


def test_500_sends_with_32_in_flight_complete_once_each(driver: WskCtl) -> None:
    to = pair(driver)
    for first in range(0, 500, 32):
        steps = tuple(range(first, min(first + 32, 500)))
        sends = [ops.SendTo(1, WskBuf.of(struct.pack("<I", step)), to, wait=False) for step in steps]
        collected = driver.submit([*sends, ops.Collect(1, steps)])[-1].collected
        assert {(c.status, c.information, c.completions) for c in collected.values()} == {(0, 4, 1)}
        assert [received(driver) for _ in steps] == [struct.pack("<I", step) for step in steps]


def test_a_burst_counts_what_it_sent(driver: WskCtl) -> None:
    summed = driver.execute(ops.Burst(1, pair(driver), 64, 12, 8, first=5)).completion
    assert summed is not None
    assert (summed.status, summed.information, summed.completions) == (0, 64 * 12, 64)
    first = received(driver)
    assert first == struct.pack("<Q", 5) + bytes((j + 5) & 0xFF for j in range(8, 12))


def test_only_a_fixed_remote_address_filters_what_is_received(driver: WskCtl) -> None:
    to = pair(driver)
    driver.execute(ops.SetRemoteAddress(2, Endpoint(LOOPBACK, 9)))
    driver.execute(ops.SendTo(1, WskBuf.of(b"stranger"), to))
    outcome = driver.execute(ops.Receive(2, 100, 100)).completion
    assert outcome is not None
    assert outcome.status == STATUS_CANCELLED
    driver.submit([ops.SetRemoteAddress(2, None), ops.SetSendToAddress(2, Endpoint(LOOPBACK, 9))])
    driver.execute(ops.SendTo(1, WskBuf.of(b"stranger"), to))
    assert received(driver) == b"stranger"


def test_failed_sends_lose_nothing(driver: WskCtl) -> None:
    driver.execute(ops.Open(1, AF_INET6))
    unbound = driver.execute(ops.SendTo(1, WskBuf.of(b"x"), Endpoint(LOOPBACK, 9))).completion
    nowhere = driver.execute(ops.SendTo(1, WskBuf.of(b"x"), None)).completion
    assert unbound is not None
    assert nowhere is not None
    assert unbound.status != 0
    assert nowhere.status == STATUS_INVALID_DEVICE_STATE


def test_hostile_requests_are_refused_and_lose_nothing(driver: WskCtl) -> None:
    to = pair(driver)
    chaos = random.Random(20240)
    good = abi.encode(ops.SendTo(1, WskBuf((Mdl(b"abcd", 1), Mdl(b"ef", 2)), 1, 3), to), {1: driver._handles[1]})
    codes = [value for name, value in vars(layouts).items() if name.startswith("IOCTL_") and name != "IOCTL_BURST"]
    for _ in range(500):
        payload = bytearray(good.payload)
        payload[chaos.randrange(len(payload))] = chaos.randrange(256)
        driver.ioctl(good.code, bytes(payload), good.capacity)
        size = chaos.randrange(120)
        noise = struct.pack("<II", layouts.VERSION, size) + chaos.randbytes(size)
        driver.ioctl(chaos.choice(codes), noise[:size], chaos.randrange(120))
    assert driver.execute(ops.SendTo(1, WskBuf.of(b"alive"), to)).ioctl == 0
    stale = driver._handles[1]
    driver.execute(ops.Close(1))
    closed = driver.ioctl(layouts.IOCTL_CLOSE, layouts.SOCKET.pack(layouts.VERSION, layouts.SOCKET.size, stale), 24)
    assert closed == (0xC0000008, b"")


def test_a_receive_in_flight_is_cancelled_by_close(driver: WskCtl) -> None:
    pair(driver)
    request = layouts.RECEIVE.pack(layouts.VERSION, layouts.RECEIVE.size, driver._handles[2], 100, 0, 0, 0, 5)
    status, _ = driver.ioctl(layouts.IOCTL_RECEIVE, request, layouts.RECEIVE_REPLY.size + 100)
    assert (status, driver.accounts().in_flight) == (0, 1)
    driver.execute(ops.Close(2))
    assert driver.accounts().in_flight == 0


def test_load_and_unload_twenty_times(wine: Wine) -> None:
    for _ in range(20):
        wine.run("wine64", "sc", "start", "wsksend")
        wine.run("wine64", "sc", "stop", "wsksend")
    assert "STOPPED" in wine.run("wine64", "sc", "query", "wsksend")

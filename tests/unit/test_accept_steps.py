"""Every acceptance step passes on what is right and fails, by its own words, on what is wrong.

The guest is the server that answers as Windows is said to; machine, driver and capture are stand-ins.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from harness.accept import steps
from harness.accept.rig import Bench
from harness.capture.frames import CapturedFrame
from harness.cell.keeper import GuestKeeper
from harness.control.ssh import Shell
from harness.driver_build import build as drivers
from harness.driver_build import sign
from harness.errors import Failure, LabError
from harness.guests import observations
from harness.guests.windows.windows_guest import WindowsGuest, WindowsImage
from harness.model.site import Site
from harness.vm.libvirt import Event
from harness.wsk import operations as op
from tests.unit.fake_windows import FakeWindows, Server
from tests.unit.test_session_case import SITE, FaultlessDriver
from tests.unit.verify_kit import done
from tests.unit.windows_kit import need

DUT = "<interface><mac address='52:54:00:d0:00:01'/></interface>"
CONTROL = "<interface><mac address='52:54:00:c0:00:01'/></interface>"


class Machine:
    """The machine that the fake Windows runs in; lets go of its NIC, crashes when it is told to, can be dumped."""

    def __init__(self, windows: FakeWindows) -> None:
        self.windows = windows
        self.plugged = True
        self.lets_go = True
        self.nmi: Callable[[], None] = lambda: windows.crash(steps.NMI_CODE)
        self.dump = b"PAGEDU64" + bytes(8192)
        self.said = ""
        self.ended: Event | None = None
        self.crash_notices: tuple[str, ...] = ()
        self.domain = self

    def xml(self) -> str:
        return f"<domain><devices>{CONTROL}{DUT if self.plugged else ''}</devices></domain>"

    def detach(self, xml: str) -> None:
        assert "52:54:00:d0:00:01" in xml
        self.plugged = not self.lets_go

    def attach(self, xml: str) -> None:
        assert "52:54:00:d0:00:01" in xml
        self.plugged = True

    def inject_nmi(self) -> None:
        self.nmi()

    def dump_windows(self, path: Path) -> None:
        if not self.dump:
            raise LabError("QEMU finds no dump header")
        path.write_bytes(self.dump)

    def console(self) -> str:
        return self.said


class Driver(FaultlessDriver):
    """The sample driver, loaded or not."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0
        self.loaded = False

    def install(self) -> None:
        assert not self.loaded
        self.loads, self.loaded = self.loads + 1, True

    def unload(self) -> None:
        self.loaded = False


class Capture:
    """Shows a plain datagram, and in silence what the test puts there."""

    def __init__(self) -> None:
        self.plain = True
        self.noise: list[CapturedFrame] = []

    def during(self, name: str, act: Callable[[], None], frames: int, seconds: float) -> list[CapturedFrame]:
        act()
        return [plain()] if name == "plain" and self.plain else []

    def everything(self, name: str, seconds: float) -> list[CapturedFrame]:
        return self.noise


def plain(destination: str = "02000000d001", ethertype: str = "0800") -> CapturedFrame:
    head = "4500002e0001000080110000c000020ac0000201c3509c40001a0000"
    data = bytes.fromhex(f"{destination}525400d00001{ethertype}{head}") + bytes(18)
    return CapturedFrame(1, 0, data, len(data))


class OnFake:
    """A bench whose guest is the fake server."""

    def __init__(self, server: Server, guest: WindowsGuest, folder: Path) -> None:
        self.guest = guest
        self.folder = folder
        self.server = server
        self.machine = Machine(server.machine)
        self.the_driver, self.the_capture = Driver(), Capture()
        self.boot_seconds = 60.0
        self.absent: dict[str, LabError] = {}
        self.restores: Callable[[], None] = lambda: None
        self._shell = self.connect()

    def say(self, text: str) -> None:
        pass

    def connect(self) -> Shell:
        server = self.server
        return Shell.connect(
            "127.0.0.1", server.key, server.host_public_key, 5.0, user="Administrator", port=server.port
        )

    def shell(self, nic: str = "e1000e") -> Shell:
        if nic in self.absent:
            raise self.absent[nic]
        return self._shell

    def reconnect(self) -> Shell:
        self._shell = self.connect()
        return self._shell

    def restart(self) -> Shell:
        self._shell = self.guest.restart(self._shell, self.connect)
        return self._shell

    def stop(self) -> None:
        pass

    def start_saveable(self) -> Shell:
        return self._shell

    def save_and_restore(self) -> tuple[float, float]:
        self.restores()
        self.reconnect()
        return 1.0, 2.0

    def site(self) -> Site:
        return SITE

    def driver(self) -> Driver:
        return self.the_driver

    @contextlib.contextmanager
    def capture(self, name: str) -> Iterator[Capture]:
        yield self.the_capture

    def signed_driver(self) -> Path:
        need("osslsigncode", "x86_64-w64-mingw32-gcc")
        return sign.sign(drivers.build().wsksend_sys, self.folder / "signed.sys")


@pytest.fixture
def machine() -> FakeWindows:
    return FakeWindows()


@pytest.fixture
def fake(machine: FakeWindows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnFake]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(steps, "GuestKeeper", functools.partial(GuestKeeper, settle=0.1))
    (tmp_path / "base.qcow2").write_bytes(b"disk")
    manifest = {
        "guest": "ws2022",
        "certificate": "ab" * 32,
        "release": "server-2022",
        "title": "Windows Server 2022",
        "build": "20348.587",
        "facts": {},
        "seconds": {"copy": 600.0, "specialize": 600.0},
        "files": {"base.qcow2": hashlib.sha256(b"disk").hexdigest()},
    }
    with Server(machine, tmp_path) as server:
        yield OnFake(server, WindowsGuest(WindowsImage(tmp_path, manifest), tmp_path), tmp_path)


@pytest.fixture
def bench(fake: OnFake) -> Bench:
    return cast(Bench, fake)


def test_every_step_is_seen_to_fail_here() -> None:
    """Whoever adds a step adds a test in which it does."""
    tree = ast.parse(Path(__file__).read_text())
    seen = {
        call.func.attr
        for block in ast.walk(tree)
        if isinstance(block, ast.With) and "pytest.raises" in ast.unparse(block.items[0])
        for call in ast.walk(block)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    }
    assert {step.run.__name__ for step in steps.STEPS} - seen == set()


def test_image_step_wants_the_image_as_it_was_sealed(bench: Bench, tmp_path: Path) -> None:
    assert steps.image(bench).detail == "Windows Server 2022 20348.587, built in 20 minutes"
    (tmp_path / "base.qcow2").write_bytes(b"disk, changed")
    with pytest.raises(LabError, match=r"base\.qcow2 is not what was sealed"):
        steps.image(bench)


def test_boot_step_wants_ssh_in_time_and_tells_of_the_beacon(bench: Bench, fake: OnFake) -> None:
    assert "did not come on COM1" in steps.boot(bench).detail
    fake.machine.said = "HARNESS: up"
    assert steps.boot(bench).observed == {"boot": {"ssh_seconds": 60, "beacon": True}}
    fake.boot_seconds = 181.0
    with pytest.raises(Failure, match="SSH answered 181 s after power-on, 180 s were supposed"):
        steps.boot(bench)


@pytest.mark.parametrize(
    ("wrong", "said"), [({"testsigning": False}, "without test signing"), ({"secureboot": True}, "Secure Boot")]
)
def test_test_mode_step(bench: Bench, machine: FakeWindows, wrong: dict[str, bool], said: str) -> None:
    with pytest.raises(Failure, match="the inventory script does not run"):
        steps.test_mode(bench)
    machine.inventory = {"product": "Windows Server 2022", "build": "20348.587", "testsigning": True}
    assert "test signing, no Secure Boot" in steps.test_mode(bench).detail
    machine.inventory |= wrong
    with pytest.raises(Failure, match=said):
        steps.test_mode(bench)


def test_shell_step_on_a_right_and_a_wrong_answer(bench: Bench, machine: FakeWindows) -> None:
    assert "UTF-8" in steps.shell(bench).detail
    ordinary = machine.run
    machine.run = lambda command: (0, b"") if command == "exit 1060" else ordinary(command)  # type: ignore[method-assign]
    with pytest.raises(Failure, match="gives 0, not 1060"):
        steps.shell(bench)


def test_certificate_step(bench: Bench, machine: FakeWindows) -> None:
    machine.certificates = (f"Root {'ab' * 32}", "TrustedPublisher 00")
    with pytest.raises(Failure, match="not in TrustedPublisher"):
        steps.certificate(bench)
    machine.certificates = (f"Root {'ab' * 32}", f"TrustedPublisher {'ab' * 32}")
    assert steps.certificate(bench)


def test_signed_step_names_what_windows_says(
    bench: Bench, machine: FakeWindows, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "loads" in steps.signed(bench).detail
    assert machine.services == {}
    signed = bench.signed_driver()
    machine.refuses[signed.read_bytes()] = 577
    monkeypatch.setattr(bench, "signed_driver", lambda: signed)
    with pytest.raises(Failure, match="test signing is off"):
        steps.signed(bench)


def test_refused_step_wants_every_bad_copy_refused(
    bench: Bench, machine: FakeWindows, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Failure, match="the tampered copy gives 0, not 577"):
        steps.refused(bench)
    signed = bench.signed_driver()
    monkeypatch.setattr(bench, "signed_driver", lambda: signed)
    good = signed.read_bytes()
    machine.refuses = {
        steps._tampered(good): 577,
        drivers.build().wsksend_sys.read_bytes(): 577,
        steps._narrow(good): 193,
    }
    assert steps.refused(bench).observed == {"load_errors": {"tampered": 577, "unsigned": 577, "32-bit": 193}}


@pytest.mark.parametrize("stops", [False, True])
def test_stays_step_wants_1052_and_leaves_nothing_loaded(bench: Bench, machine: FakeWindows, stops: bool) -> None:
    restarts: list[str] = []
    bench.restart = lambda: restarts.append("restart")  # type: ignore[assignment, method-assign, return-value]
    ordinary = machine.run

    def run(command: str) -> tuple[int, bytes]:
        if command == "sc.exe start accept" and not stops:
            answer = ordinary(command)
            machine.services["accept"].unloads = False
            return answer
        return ordinary(command)

    machine.run = run  # type: ignore[method-assign]
    if stops:
        with pytest.raises(Failure, match="gives 0, not 1052"):
            steps.stays(bench)
    else:
        assert steps.stays(bench).observed == {"load_errors": {"without DriverUnload": 1052}}
    assert restarts == ["restart"]


def test_loop_step_wants_empty_books_after_all_loads(bench: Bench, fake: OnFake) -> None:
    assert "100 loads" in steps.loop(bench).detail
    assert fake.the_driver.loads == 101
    fake.the_driver.books = op.Accounts(irps=1)
    with pytest.raises(Failure, match="holds something after 100 loads"):
        steps.loop(bench)
    assert not fake.the_driver.loaded


def test_wire_step_wants_a_plain_datagram_on_the_wire(bench: Bench, fake: OnFake) -> None:
    assert steps.wire(bench).observed["wire"]["ttl"] == 128
    fake.the_capture.plain = False
    with pytest.raises(Failure, match="a plain datagram did not go out"):
        steps.wire(bench)
    assert not fake.the_driver.loaded


def test_wire_step_wants_the_plain_call_to_succeed(bench: Bench, fake: OnFake, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(operations: Sequence[op.Operation]) -> list[op.Outcome]:
        return [op.Outcome(completion=done(0, status=0xC000009A)) for _ in operations]

    monkeypatch.setattr(fake.the_driver, "execute", refuse)
    with pytest.raises(Failure, match="did not go out"):
        steps.wire(bench)


def test_nics_step_wants_one_that_works_and_silence(bench: Bench, fake: OnFake) -> None:
    fake.absent["e1000"] = LabError("it has no NIC with the MAC of the NIC under test")
    found = steps.models(bench)
    assert found.observed["nics"]["e1000"]["status"] == "absent"
    assert found.observed["nics"]["virtio-net"]["status"] == "Up"
    fake.the_capture.noise = [plain("333300010002", "86dd"), plain("ffffffffffff", "0806")]
    with pytest.raises(Failure, match=r"not silent: .*virtio-net sent \{.*'ARP': 1"):
        steps.models(bench)


def test_nics_step_fails_when_none_works(bench: Bench, machine: FakeWindows) -> None:
    machine.dut_exit = 42
    with pytest.raises(Failure, match="no NIC model works"):
        steps.models(bench)


def test_hot_plug_step_wants_the_nic_let_go(bench: Bench, fake: OnFake, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "after it was plugged in" in steps.hot_plug(bench).detail
    fake.machine.lets_go = False
    monkeypatch.setattr(steps, "_PLUG_SECONDS", 0.1)
    with pytest.raises(Failure, match="does not let go of the NIC"):
        steps.hot_plug(bench)
    fake.machine.plugged = False
    with pytest.raises(LabError, match="no NIC under test"):
        steps.hot_plug(bench)


def test_save_step_wants_the_same_boot(bench: Bench, fake: OnFake, machine: FakeWindows, tmp_path: Path) -> None:
    observations.write(tmp_path, steps.save(bench).observed)
    assert bench.guest.keeps_state, "from now on runs save it"
    fake.restores = lambda: setattr(machine, "boot", "2026-01-01T09:00:00.0000000Z")
    with pytest.raises(Failure, match="booted anew"):
        steps.save(bench)


def test_verifier_step_leaves_it_off(bench: Bench, machine: FakeWindows) -> None:
    assert "10 loads" in steps.verifier(bench).detail
    assert machine.verifier == ""


def test_verifier_step_wants_it_on(bench: Bench, machine: FakeWindows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_verifier", lambda _: (0, b""))
    with pytest.raises(Failure, match="does not watch the driver"):
        steps.verifier(bench)


def test_verifier_step_wants_no_crash(bench: Bench, machine: FakeWindows, monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary = machine.run

    def run(command: str) -> tuple[int, bytes]:
        if command.startswith("sc.exe stop"):
            machine.boot = "2026-01-01T09:00:00.0000000Z"
        return ordinary(command)

    monkeypatch.setattr(machine, "run", run)
    with pytest.raises(Failure, match="crashed under Driver Verifier"):
        steps.verifier(bench)


def test_nmi_step_wants_bugcheck_and_dump(bench: Bench, fake: OnFake, machine: FakeWindows) -> None:
    found = steps.nmi(bench)
    assert "0x80 NMI_HARDWARE_FAILURE" in found.detail
    assert found.observed["crash"]["packed_dump_bytes"] > 0
    fake.machine.nmi = lambda: machine.crash(0xD1)
    with pytest.raises(Failure, match="no bugcheck 0x80 in the log"):
        steps.nmi(bench)
    fake.machine.nmi = lambda: machine.crash(steps.NMI_CODE, logged=False)
    with pytest.raises(Failure, match="no bugcheck 0x80"):
        steps.nmi(bench)


def test_nmi_step_wants_windows_to_stop(
    bench: Bench, fake: OnFake, machine: FakeWindows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_BUGCHECK_SECONDS", 0.2)
    fake.machine.nmi = lambda: None
    with pytest.raises(Failure, match="goes on after an NMI"):
        steps.nmi(bench)
    fake.machine.nmi = machine.hang_up
    with pytest.raises(Failure, match="did not restart after an NMI"):
        steps.nmi(bench)


def test_nmi_step_wants_the_dump(bench: Bench, fake: OnFake, machine: FakeWindows) -> None:
    def without_dump() -> None:
        machine.crash(steps.NMI_CODE)
        machine.dump = ""

    fake.machine.nmi = without_dump
    with pytest.raises(Failure, match="no dump was written"):
        steps.nmi(bench)


def test_host_dump_step_wants_windows_header(bench: Bench, fake: OnFake, tmp_path: Path) -> None:
    assert "with a Windows header" in steps.host_dump(bench).detail
    fake.machine.dump = b"\x7fELF" + bytes(8192)
    with pytest.raises(Failure, match="without a Windows header"):
        steps.host_dump(bench)
    fake.machine.dump = b""
    with pytest.raises(Failure, match="no dump from the host: is the fwcfg driver in the image"):
        steps.host_dump(bench)
    assert not (tmp_path / "host.dmp").exists()

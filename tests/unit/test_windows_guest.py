"""A Windows guest over SSH: what the harness says, answered with the quirks of Windows by a server of our own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_address
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness import nics
from harness.control.ssh import Shell
from harness.driver_build import build as drivers
from harness.driver_build import sign
from harness.errors import AwaitTimeout, Failure, LabError, UsageError
from harness.guests import cache, catalogue, observations
from harness.guests.windows import powershell, windows_guest
from harness.guests.windows.windows_guest import WindowsGuest, WindowsImage
from tests.unit.fake_windows import AFTER, FakeWindows, Server
from tests.unit.windows_kit import need

SYS = "C:/harness/wsksend.sys"


@pytest.fixture
def machine() -> FakeWindows:
    return FakeWindows()


@pytest.fixture
def server(machine: FakeWindows, tmp_path: Path) -> Iterator[Server]:
    with Server(machine, tmp_path) as running:
        yield running


def connect(server: Server, deadline: float = 10.0) -> Shell:
    return Shell.connect(
        "127.0.0.1", server.key, server.host_public_key, deadline, user="Administrator", port=server.port
    )


@pytest.fixture
def shell(server: Server) -> Iterator[Shell]:
    with connect(server) as connected:
        yield connected


@pytest.fixture
def guest(tmp_path: Path) -> WindowsGuest:
    manifest = {
        "guest": "ws2022",
        "key": "k",
        "release": "server-2022",
        "uefi": True,
        "memory_mib": 4096,
        "host_public_key": "ssh-ed25519 AAAA",
        "expires": "2026-06-01",
    }
    return WindowsGuest(WindowsImage(tmp_path, manifest), tmp_path)


def test_a_driver_is_loaded_and_unloaded(guest: WindowsGuest, shell: Shell, machine: FakeWindows) -> None:
    shell.put(b"a good driver", SYS)
    guest.load_driver(shell, SYS, "wsksend")
    assert guest.driver_state(shell, "wsksend") == "RUNNING"
    assert machine.services["wsksend"].path == r"C:\harness\wsksend.sys"
    guest.load_driver(shell, SYS, "wsksend")
    guest.unload_driver(shell, "wsksend")
    assert guest.driver_state(shell, "wsksend") is None
    guest.unload_driver(shell, "wsksend")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"unsigned", "its signature is missing or does not fit the file, or test signing is off"),
        (b"narrow", "not a valid driver image"),
        (b"import", "a function that this Windows does not have"),
        (b"entry", "its DriverEntry returned an error"),
    ],
)
def test_exit_codes_of_sc_become_words(
    guest: WindowsGuest, shell: Shell, machine: FakeWindows, content: bytes, words: str
) -> None:
    """Numbers decide, not the words of a German Windows."""
    shell.put(content, SYS)
    with pytest.raises(Failure, match=words):
        guest.load_driver(shell, SYS, "wsksend")
    assert machine.services == {}


def test_a_driver_that_cannot_be_stopped(guest: WindowsGuest, shell: Shell) -> None:
    shell.put(b"nounload", SYS)
    guest.load_driver(shell, SYS, "wsksend")
    with pytest.raises(Failure, match="without DriverUnload cannot be stopped"):
        guest.unload_driver(shell, "wsksend")


def test_exit_codes_have_32_bits_and_text_survives(shell: Shell) -> None:
    assert shell.run("exit 7").exit_code == 7
    assert shell.run("exit 1060").exit_code == 1060
    assert shell.run("exit 0xC0000005").exit_code == 0xC0000005
    assert shell.run("echo plain").stdout == "plain\n", "CRLF is gone"
    assert "\r" not in shell.run("sc.exe query nothing").stdout
    assert shell.run("sc.exe query nothing").exit_code == 1060, "bytes of another code page do no harm"


def test_what_a_session_leaves_running_dies_with_it(shell: Shell, machine: FakeWindows) -> None:
    shell.run("start C:/harness/long.exe")
    assert machine.running_children == []


def test_the_password_is_never_tried(server: Server, tmp_path: Path) -> None:
    from harness.guests.keys import KeyPair

    foreign = tmp_path / "foreign"
    foreign.write_bytes(KeyPair.generate().openssh_private)
    with pytest.raises(LabError, match="refuses the harness's key"):
        Shell.connect("127.0.0.1", foreign, server.host_public_key, 5.0, user="Administrator", port=server.port)


class Link:
    interfaces4 = (IPv4Interface("192.0.2.10/24"),)
    interfaces6 = (IPv6Interface("2001:db8:0:1::10/64"),)
    neighbours: ClassVar = {ip_address("192.0.2.1"): bytes.fromhex("02000000d001")}
    mtu = 1500


def test_the_nic_under_test_is_found_by_mac_before_it_gets_addresses(
    guest: WindowsGuest, shell: Shell, machine: FakeWindows
) -> None:
    guest.configure_dut(shell, Link())
    script = powershell.decode(machine.commands[0])
    assert "$Mac='52:54:00:d0:00:01'" in script
    assert script.index("DadTransmits 0") > script.index("NetAdapter$what"), (
        "offloads restart the NIC, so they come first"
    )
    assert "add address" in machine.commands[1]
    assert "Get-NetIPAddress" in powershell.decode(machine.commands[-1]), "and then they must be bindable"
    assert guest.nic_facts["version"] == "1.2.3"
    assert guest.nic_facts["description"] == "Netzwerkkarte für Tests"


def test_a_script_too_long_for_a_command_line_goes_as_a_file(shell: Shell, machine: FakeWindows) -> None:
    result = powershell.run(shell, "dut", 10.0, Mac="x" * 5000, Name="DUT", Offloads="keep", Mtu=1500)
    assert result.exit_code == 0
    content = machine.files["C:/harness/dut.ps1"]
    assert content.startswith(b"\xef\xbb\xbf"), "Windows PowerShell takes a file without a mark for the ANSI code page"
    assert b"\r\n" in content


def test_a_nic_that_is_not_there_is_told_in_words(guest: WindowsGuest, shell: Shell, machine: FakeWindows) -> None:
    machine.dut_exit = 40
    with pytest.raises(LabError, match="no NIC with the MAC of the NIC under test"):
        guest.configure_dut(shell, Link())


@pytest.mark.parametrize("hasty", [False, True])
@pytest.mark.parametrize("lingers", [0, 1])
def test_a_restart_is_another_boot(
    guest: WindowsGuest, server: Server, shell: Shell, machine: FakeWindows, lingers: int, hasty: bool
) -> None:
    """Windows answers while Windows goes down: such a login is not taken for the new boot."""
    machine.lingers, machine.hasty = lingers, hasty
    fresh = guest.restart(shell, lambda: connect(server))
    assert guest.boot_identity(fresh) == AFTER
    fresh.close()


def test_a_restart_that_does_not_happen(
    guest: WindowsGuest, server: Server, shell: Shell, machine: FakeWindows
) -> None:
    machine.restarts_truly = False
    with pytest.raises(AwaitTimeout, match="as another boot"):
        guest.restart(shell, lambda: connect(server))


def test_a_driver_package_for_a_nic(guest: WindowsGuest, shell: Shell, machine: FakeWindows, tmp_path: Path) -> None:
    package = tmp_path / "NetKVM"
    package.mkdir()
    with pytest.raises(UsageError, match=r"has 0 \.inf files"):
        guest.install_package(shell, package)
    (package / "netkvm.inf").write_text("[Version]")
    (package / "netkvm.sys").write_bytes(b"MZ")
    assert guest.install_package(shell, package) == [{"DeviceName": "NetKVM", "DriverVersion": "100.85"}]
    assert machine.files["C:/harness/package/netkvm.sys"] == b"MZ"
    machine.files.clear()
    (package / "netkvm.inf").rename(package / "other.inf")
    with pytest.raises(Failure, match=r"pnputil refuses other\.inf with 0x80070002"):
        guest.install_package(shell, package)


def test_driver_verifier_asks_for_a_restart(guest: WindowsGuest, shell: Shell) -> None:
    assert guest.set_verifier(shell, ["wsksend.sys"]), "exit code 2: restart needed"
    assert guest.verified(shell)
    assert guest.set_verifier(shell, [])


def test_a_run_without_wishes_starts_no_boot(guest: WindowsGuest, shell: Shell, machine: FakeWindows) -> None:
    assert guest.prepare(shell, lambda: pytest.fail("another login")) is shell
    assert machine.commands == []


@pytest.mark.parametrize("kept", [True, False])
def test_driver_verifier_and_a_nic_driver_are_there_after_one_restart(
    kept: bool, guest: WindowsGuest, server: Server, shell: Shell, machine: FakeWindows, tmp_path: Path
) -> None:
    package = tmp_path / "NetKVM"
    package.mkdir()
    (package / "netkvm.inf").write_text("[Version]")
    wished = WindowsGuest(guest.image, tmp_path, verified=["wsksend.sys"], package=package)

    def again() -> Shell:
        if not kept:
            machine.verifier = ""
        return connect(server)

    if not kept:
        with pytest.raises(LabError, match=r"does not watch wsksend\.sys after the restart"):
            wished.prepare(shell, again)
        return
    fresh = wished.prepare(shell, again)
    assert wished.boot_identity(fresh) == AFTER
    assert machine.files["C:/harness/package/netkvm.inf"]
    assert "wsksend.sys" in machine.verifier
    assert wished.versions()["Driver Verifier"] == "standard checks of wsksend.sys"
    assert sum(command.startswith("shutdown.exe /r") for command in machine.commands) == 1
    fresh.close()


def own_guest(guest: WindowsGuest, folder: Path, memory_mib: int | None = None) -> WindowsGuest:
    """A guest of a run with a disk of a mebibyte, and a folder of its own."""
    need("qemu-img", "qemu-io")
    base = guest.image.folder / "base.qcow2"
    if not base.exists():
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(base), "1M"], check=True)
        (guest.image.folder / "vars.fd").write_bytes(b"variables")
    folder.mkdir()
    return WindowsGuest(guest.image, folder, memory_mib=memory_mib)


def write(disk: Path, pattern: int, at: str = "0") -> None:
    subprocess.run(["qemu-io", "-c", f"write -P {pattern} {at} 64k", str(disk)], check=True, capture_output=True)


def reads(disk: Path, pattern: int, at: str = "0") -> bool:
    run = subprocess.run(["qemu-io", "-c", f"read -P {pattern} {at} 64k", str(disk)], capture_output=True, text=True)
    return run.returncode == 0 and "verification failed" not in run.stdout


def test_a_saved_guest_takes_its_disks_along_and_leaves_them_alone(guest: WindowsGuest, tmp_path: Path) -> None:
    first = own_guest(guest, tmp_path / "first")
    disk = first.boot_spec().disks[0].path
    write(disk, 1)
    (tmp_path / "first" / "vars.fd").write_bytes(b"changed")
    first.nic_facts = {"driver": "NetKVM", "version": "1.2.3"}
    state = tmp_path / "state"
    state.mkdir()
    first.keep(state)
    assert not disk.exists(), "moved, not copied"

    for name in ("second", "third"):
        other = own_guest(guest, tmp_path / name)
        disk = other.boot_spec().disks[0].path
        other.resume(state, own=False)
        assert reads(disk, 1)
        assert (tmp_path / name / "vars.fd").read_bytes() == b"changed"
        assert other.versions()["NIC driver"] == "NetKVM 1.2.3"
        write(disk, 2)
        other.start_over()
        assert reads(disk, 0), "a boot begins at the image"
        assert (tmp_path / name / "vars.fd").read_bytes() == b"variables"


def test_a_guest_that_becomes_a_state_itself_leans_on_no_other(guest: WindowsGuest, tmp_path: Path) -> None:
    first = own_guest(guest, tmp_path / "first")
    write(first.boot_spec().disks[0].path, 1)
    state = tmp_path / "state"
    state.mkdir()
    first.keep(state)
    second = own_guest(guest, tmp_path / "second")
    disk = second.boot_spec().disks[0].path
    second.resume(state, own=True)
    shutil.rmtree(state)
    assert reads(disk, 1)


def test_only_what_was_seen_to_come_back_is_saved(guest: WindowsGuest) -> None:
    assert not guest.keeps_state
    observations.write(guest.image.folder, {"boot": {"ssh_seconds": 60}})
    assert not guest.keeps_state
    observations.write(guest.image.folder, {observations.SAVED: {"restore_seconds": 2.0}})
    assert guest.keeps_state


def test_saved_guests_are_told_apart_by_what_runs_ask_of_them(guest: WindowsGuest, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "netkvm.inf").write_text("one")
    (package / "folder").mkdir()
    asked: list[dict[str, Any]] = [{}, {"offloads": "off"}, {"verified": ("a.sys",)}, {"package": package}]
    found = [WindowsGuest(guest.image, tmp_path, **more).demands() for more in asked]
    (package / "netkvm.inf").write_text("another")
    found.append(WindowsGuest(guest.image, tmp_path, package=package).demands())
    assert len({str(demands) for demands in found}) == len(found)


def test_each_run_writes_to_an_overlay_of_its_own(guest: WindowsGuest, tmp_path: Path) -> None:
    run = tmp_path / "run"
    spec = own_guest(guest, run, memory_mib=1024).boot_spec()
    assert spec.disks[0].path == run / "overlay.qcow2"
    assert spec.nvram == run / "vars.fd"
    assert (spec.uefi, spec.windows, spec.memory_mib, spec.local_time) == (True, True, 1024, True)
    assert not spec.cdroms
    assert not spec.reboot_ends


def test_images_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache.root() / "ws2022"
    folder.mkdir(parents=True)
    (folder / cache.MANIFEST).write_text(json.dumps({"guest": "ws2022", "kind": "windows", "key": "k"}))
    assert windows_guest.names() == ("ws2022",)
    found = windows_guest.find("ws2022")
    assert found is not None
    assert windows_guest.find("ws2019") is None


def test_evaluation_images_expire(guest: WindowsGuest) -> None:
    assert not guest.image.expired("2026-06-01")
    assert guest.image.expired("2026-06-02")


def test_a_windows_guest_takes_only_signed_drivers(
    guest: WindowsGuest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("osslsigncode", "x86_64-w64-mingw32-gcc")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    unsigned = drivers.build().wsksend_sys
    taken = guest.take_driver(unsigned, tmp_path)
    assert taken != unsigned
    assert sign.embedded_certificates(taken)
    assert taken.with_suffix(".debug.sys").is_file(), "symbols go with it"
    assert guest.take_driver(taken, tmp_path) == taken


def test_a_nic_that_the_image_could_not_use_is_skipped_with_its_reason(tmp_path: Path) -> None:
    manifest = {
        "guest": "ws2022",
        "release": "server-2022",
        "inventory": {"trained": {"e1000": {"status": "absent"}, "rtl8139": {"status": "Up"}}},
        "media": {"packages": "NetKVM,vioserial"},
    }
    guest = WindowsGuest(WindowsImage(tmp_path, manifest), tmp_path)
    assert "was absent" in guest.obstacle(nics.get("e1000"))
    assert guest.obstacle(nics.get("rtl8139")) == ""
    assert guest.obstacle(nics.get("virtio-net")) == ""
    assert "no current Windows" in guest.obstacle(nics.get("pcnet"))


def test_a_windows_guest_with_an_image_is_a_guest_of_the_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="no guest 'ws2022'"):
        catalogue.check_guest("ws2022")
    folder = cache.root() / "ws2022"
    folder.mkdir(parents=True)
    known = {"guest": "ws2022", "kind": "windows", "key": "k", "release": "server-2022", "expires": "2020-01-01"}
    manifest = {**known, "memory_mib": 4096}
    (folder / cache.MANIFEST).write_text(json.dumps(manifest))
    catalogue.check_guest("ws2022")
    assert (catalogue.memory_mib("ws2022"), catalogue.memory_mib("wine")) == (4096, 0)
    said: list[str] = []
    assert catalogue.prepare_guest("ws2022", said.append) == "k"
    assert any("evaluation time" in line for line in said)
    assert any("not yet run on a real Windows" in line for line in said)
    found = catalogue.guest("ws2022", "k")
    assert isinstance(found, WindowsGuest)
    assert not found.keeps_state
    assert not found.own_verifier
    found.close()
    assert not list((tmp_path / "wsk-harness" / "windows-runs").iterdir())


def test_what_an_acceptance_saw_is_the_guest_s_profile(guest: WindowsGuest) -> None:
    assert guest.profile().ttl == 128
    observations.write(guest.image.folder, {"wire": {"ttl": 64}, "statuses": {}})
    assert guest.profile().ttl == 64

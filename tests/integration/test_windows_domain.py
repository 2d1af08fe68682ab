"""Windows machines started for real on an empty disk with a seed: firmware looks for what boots; NICs are taken."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness import nics
from harness.guests.windows import machine, seed
from harness.guests.windows.answer import Answer
from harness.guests.windows.releases import releases
from harness.lab.network import LabNetwork
from harness.vm.domain import DomainSpec, domain_xml
from harness.vm.libvirt import Connection
from harness.vm.machine import Machine
from tests.unit.windows_kit import need

RELEASE = replace(releases()[1], memory_mib=256)


@pytest.fixture
def connection() -> Iterator[Connection]:
    with LabNetwork(), Connection() as opened:
        yield opened


def spec(folder: Path, nic: str | None = "e1000e", *, uefi: bool = True, accelerator: str = "tcg") -> DomainSpec:
    need("qemu-img", "xorriso")
    disk, cd = folder / "disk.qcow2", folder / "seed.iso"
    if not disk.exists():
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "64G"], check=True)
        answer = Answer(RELEASE, 1, "en-US", "test", "secret")
        seed.write(seed.Seed(answer, "ssh-ed25519 AAAA", b"0"), cd)
    boot = machine.boot_spec(RELEASE, disk, folder / "vars.fd" if uefi else None, cdroms=(cd,))
    chosen = nics.get(nic) if nic else None
    return DomainSpec("windows--test", boot, chosen, accelerator, folder / "console.log")


def need_ovmf() -> None:
    if not any(Path("/usr/share/OVMF").glob("OVMF_CODE*.fd")):
        pytest.skip("ovmf is not installed")


@pytest.mark.parametrize("accelerator", ["kvm", "tcg"])
@pytest.mark.parametrize("uefi", [True, False])
@pytest.mark.parametrize("nic", [None, "virtio-net", "e1000"])
def test_the_domain_is_valid(tmp_path: Path, nic: str | None, uefi: bool, accelerator: str) -> None:
    schema = Path("/usr/share/libvirt/schemas/domain.rng")
    if not schema.exists():
        pytest.skip("libvirt's schemas are not installed")
    etree = pytest.importorskip("lxml.etree")
    xml = domain_xml(spec(tmp_path, nic, uefi=uefi, accelerator=accelerator))
    etree.RelaxNG(etree.parse(schema)).assertValid(etree.fromstring(xml))


@pytest.mark.lab
def test_uefi_firmware_looks_for_something_to_boot(tmp_path: Path, connection: Connection) -> None:
    need_ovmf()
    with Machine(connection, spec(tmp_path)) as guest:
        guest.start()
        guest.await_console("BdsDxe: failed to load Boot", 60)
        assert (tmp_path / "vars.fd").is_file(), "the firmware's variables are kept"
        guest.domain.press(28)
        picture = guest.domain.screenshot()
        assert picture[:2] == b"P6" or picture[:4] == b"\x89PNG"
        assert guest.domain.disk_written("sda") == 0
        xml = guest.xml()
        guest.save(tmp_path / "memory")
        guest.restore(tmp_path / "memory")
        assert guest.ended is None
        assert guest.domain.is_running()
    assert "OVMF" in xml
    assert "secboot" not in xml
    for device in ("vmcoreinfo state='on'", "<panic model='isa'", "e1000e", "seed.iso", "vnc.sock"):
        assert device in xml, device


@pytest.mark.lab
def test_bios_firmware_looks_for_something_to_boot(tmp_path: Path, connection: Connection) -> None:
    with Machine(connection, spec(tmp_path, uefi=False)) as guest:
        guest.start()
        first = guest.domain.screenshot()
        assert len(first) > 1000
        assert guest.ended is None


@pytest.mark.lab
def test_every_nic_of_the_catalogue_is_taken(tmp_path: Path, connection: Connection) -> None:
    for name in nics.names():
        with Machine(connection, spec(tmp_path, name, uefi=False)) as guest:
            guest.start()
            assert guest.ended is None, name


@pytest.mark.lab
@pytest.mark.parametrize("name", ["igb", "vfio:0000:65:00.1"])
def test_libvirt_reads_nics_that_cannot_start_here(tmp_path: Path, connection: Connection, name: str) -> None:
    """It takes the description, puts the NIC where it belongs and gives it back."""
    handle = connection._handle
    domain = handle.defineXML(domain_xml(spec(tmp_path, name)))
    try:
        devices = ET.fromstring(domain.XMLDesc()).find("devices")
    finally:
        domain.undefine()
    assert devices is not None
    if name == "igb":
        model = devices.find("interface[2]/model")
        assert model is not None
        assert model.get("type") == "igb"
        return
    source, driver = devices.find("hostdev/source/address"), devices.find("hostdev/driver")
    assert source is not None
    assert [source.get(key) for key in ("domain", "bus", "slot", "function")] == ["0x0000", "0x65", "0x00", "0x1"]
    assert driver is None or driver.get("name") == "vfio"


@pytest.mark.lab
def test_devices_stay_where_they_are_whatever_nic_is_tested(tmp_path: Path, connection: Connection) -> None:
    """Windows would see new devices otherwise, and forget their settings."""
    places = []
    for nic in (None, "virtio-net", "e1000"):
        with Machine(connection, spec(tmp_path, nic, uefi=False)) as guest:
            guest.start()
            devices = ET.fromstring(guest.xml()).find("devices")
        assert devices is not None
        found = {}
        for device in devices:
            address = device.find("address")
            mac = device.find("mac")
            if address is None or (mac is not None and ":d0:" in mac.get("address", "")):
                continue
            key = (device.tag, device.get("type"), device.get("index"), device.get("model"))
            found[key] = tuple(sorted(address.attrib.items()))
        places.append(found)
    assert places[0] == places[1] == places[2]

"""The NIC catalogue for Windows: each model has its place, its drivers, and a reason when a cell cannot work."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness import nics
from harness.errors import UsageError
from harness.guests.windows.releases import releases
from harness.vm.domain import BootSpec, DomainSpec, domain_xml

MODELS = [*nics.names(), "igb", "vfio:0000:65:00.1"]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_an_identity_and_a_place(name: str) -> None:
    nic = nics.get(name)
    assert re.fullmatch(r"0[24]:0[01]", nic.slot)
    assert nic.express == (nic.slot == "02:00")
    assert bool(re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{4}", nic.pci_id)) == (nic.host_device == "")
    assert set(nic.inbox) <= {release.name for release in releases()}
    assert all(quirk.source for quirk in nic.quirks)


@pytest.mark.parametrize("name", MODELS)
def test_the_domain_puts_it_where_the_catalogue_says(name: str) -> None:
    boot = BootSpec(memory_mib=64, machine="pc-q35-7.2", windows=True)
    nic = nics.get(name)
    root = ET.fromstring(domain_xml(DomainSpec("t", boot, nic, "tcg", Path("/c"))))
    kind = "hostdev" if nic.host_device else "interface[2]"
    address = root.find(f"devices/{kind}/address")
    assert address is not None
    bus, slot = (int(address.get(key, ""), 16) for key in ("bus", "slot"))
    assert f"{bus:02x}:{slot:02x}" == nic.slot


def test_a_cell_that_cannot_work_says_why() -> None:
    def why(name: str, release: str = "server-2022", **known: object) -> str:
        return nics.obstacle(nics.get(name), release, **known)  # type: ignore[arg-type]

    assert why("e1000e") == ""
    assert why("virtio-net") == "virtio-net needs the driver NetKVM of virtio-win, which this image has not"
    assert why("virtio-net+csum=off", packages=["NetKVM"]) == ""
    assert "no current Windows" in why("pcnet")
    assert why("igb", qemu="7.2.22") == "igb needs QEMU 8.0, this host has 7.2.22"
    assert why("igb", qemu="10.0.2") == "", "nobody knows, so it is tried"
    assert why("rtl8139", "windows-11") == ""
    assert "was absent" in why("rtl8139", seen={"rtl8139": "absent"})
    assert why("virtio-net", seen={"virtio-net": "Up"}) == "", "what was seen counts more than the table"


@pytest.mark.parametrize("name", ["vfio", "vfio:65:00.1", "e1000:0000:65:00.1", "vfio:0000:65:00.9"])
def test_host_devices_are_named_by_their_full_address(name: str) -> None:
    with pytest.raises(UsageError, match="vfio:0000:65:00.1" if "vfio" in name else "no NIC"):
        raise_line(name)


def raise_line(name: str) -> None:
    try:
        nics.get(name)
    except UsageError as error:
        raise UsageError(error.line()) from error

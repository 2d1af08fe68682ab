"""Makes a guest's libvirt domain XML: pure, from what boots, which NIC is tested and where evidence goes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from harness.lab.network import CONTROL_BRIDGE, CONTROL_NIC_MAC, DUT_BRIDGE, DUT_NIC_MAC
from harness.nics import Nic
from harness.vm.ram import Ram

TEMPLATE = "domain.xml.j2"
_NAMESPACE = uuid.UUID("a3b1f0de-6c7e-5b52-9d0c-3f6d8f2f8d11")


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk.

    Args:
        path: image file.
        format: "raw" or "qcow2".
        readonly: shared by any number of guests when set.
        bus: "virtio" or "sata".
    """

    path: Path
    format: str = "raw"
    readonly: bool = False
    bus: str = "virtio"


@dataclass(frozen=True, slots=True)
class BootSpec:
    """What a guest boots from and what it needs; the guest's profile gives it.

    Args:
        memory_mib: guest memory.
        kernel, initrd, cmdline: direct kernel boot; a guest that boots from its disk gives none.
        disks: in order, the first is the boot disk of a guest without a kernel.
        vcpus: virtual CPUs.
        uefi: boot with UEFI firmware (secure boot off) instead of a BIOS.
        machine: versioned machine type, so that device addresses and ids stay what a guest was installed with.
        translation_cache_mib: what an emulator may keep of translated code; QEMU's default is a gibibyte.
        control_model: libvirt model of the control NIC.
        local_time: the guest's clock counts local time (Windows).
        cdroms: ISO images, in order; the first is booted from when the disk does not boot. SATA, after the disks.
        nvram: UEFI variables; made from the firmware's template when it is not there.
        cpu: model without hardware virtualisation.
        windows: what Windows wants of a machine: Hyper-V's interfaces, a screen, a crash device, a dump note.
        reboot_ends: a reboot ends the machine, so that its disk can be looked after before it goes on.
        screen: socket for VNC viewers; ``None`` leaves the screen to screenshots.
    """

    memory_mib: int
    kernel: Path | None = None
    initrd: Path | None = None
    cmdline: str = ""
    disks: tuple[Disk, ...] = ()
    vcpus: int = 1
    uefi: bool = False
    machine: str = "pc-i440fx-7.2"
    translation_cache_mib: int = 64
    control_model: str = "virtio"
    local_time: bool = False
    cdroms: tuple[Path, ...] = ()
    nvram: Path | None = None
    cpu: str = "qemu64"
    windows: bool = False
    reboot_ends: bool = False
    screen: Path | None = None


@dataclass(frozen=True, slots=True)
class DomainSpec:
    """One domain.

    Args:
        name: libvirt's name; the UUID is made from it, so it stays the same from boot to boot.
        boot: what boots.
        nic: the NIC under test; ``None`` gives a machine without one.
        accelerator: "kvm" or "tcg".
        console: file that the serial console is appended to.
        mtu: MTU of the DUT bridge, announced to NICs that can be told.
        dut_bridge, control_bridge: host bridges.
    """

    name: str
    boot: BootSpec
    nic: Nic | None
    accelerator: str
    console: Path
    mtu: int = 1500
    dut_bridge: str = DUT_BRIDGE
    control_bridge: str = CONTROL_BRIDGE
    dut_mac: str = DUT_NIC_MAC
    control_mac: str = CONTROL_NIC_MAC

    @property
    def uuid(self) -> str:
        """The domain's UUID."""
        return str(uuid.uuid5(_NAMESPACE, self.name))

    @property
    def express(self) -> bool:
        """Whether the machine type has PCI Express (q35)."""
        return "q35" in self.boot.machine


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def domain_xml(spec: DomainSpec, ram: Ram | None = None, firmware: Path | None = None) -> str:
    """The domain's XML for ``virDomainCreateXML`` and ``virDomainRestore``.

    Args:
        spec: what it is.
        ram: its memory, if that is in a file.
        firmware: of a UEFI machine that is restored: libvirt looks for one only when a machine starts.
    """
    values = {"spec": spec, "boot": spec.boot, "nic": spec.nic, "firmware": firmware}
    arguments = ram.arguments(spec.boot.memory_mib) if ram is not None else ()
    return _environment().get_template(TEMPLATE).render(**values, arguments=arguments)

"""The virtual hardware of a Windows guest, the same while it is installed and ever after: pure.

A SATA disk and an e1000e control NIC, for both have drivers on every media; q35 with a versioned machine type and fixed
slots, for Windows binds settings to a device's place; UEFI without Secure Boot, for test signing is refused under it.
"""

from __future__ import annotations

from pathlib import Path

from harness.guests.windows.releases import Release
from harness.vm.domain import BootSpec, Disk

MACHINE = "pc-q35-7.2"
CONTROL_MODEL = "e1000e"
CPU = "Nehalem"
"""Without hardware virtualisation: the oldest model with what Windows 11 24H2 asks for (SSE4.2, POPCNT)."""
_SOCKET_LIMIT = 100  # bytes of a path that a Unix socket can have, less a reserve


def boot_spec(
    release: Release, disk: Path, nvram: Path | None, *, cdroms: tuple[Path, ...] = (), memory_mib: int | None = None
) -> BootSpec:
    """What a guest of a release boots from.

    Args:
        release: decides memory and CPUs.
        disk: qcow2.
        nvram: UEFI variables; ``None`` boots with a BIOS.
        cdroms: the media and the seed, while it is installed.
        memory_mib: in place of the release's.
    """
    screen = disk.parent / "screen" / "vnc.sock"  # in a folder of its own: a confined QEMU may write there
    return BootSpec(
        memory_mib=memory_mib or release.memory_mib,
        vcpus=release.vcpus,
        disks=(Disk(disk, format="qcow2", bus="sata"),),
        cdroms=cdroms,
        nvram=nvram,
        uefi=nvram is not None,
        machine=MACHINE,
        control_model=CONTROL_MODEL,
        local_time=True,
        cpu=CPU,
        windows=True,
        reboot_ends=bool(cdroms),
        screen=screen if len(str(screen)) < _SOCKET_LIMIT else None,
    )

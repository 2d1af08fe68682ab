"""A running guest into the folder of a state, and out of it again: devices, memory, disks.

A restored guest's clock goes on from when it was saved, and nobody sets it: Windows reckons from its clock when it was
booted, which is how one boot is told from another, and nothing that is judged asks for the date.
"""

from __future__ import annotations

from pathlib import Path

from harness.errors import LabError
from harness.files import removal
from harness.guests.base import Guest
from harness.vm import sparse
from harness.vm.machine import Machine
from harness.vm.ram import Ram
from harness.vm.saved import RAM, STATE


def write(guest: Guest, machine: Machine, memory: Path, folder: Path) -> None:
    """Save a guest, which ends by that.

    Args:
        guest: its profile.
        machine: running on ``memory``.
        memory: the file that it shares its memory with; removed.
        folder: takes the state.

    Raises:
        LabError: libvirt or QEMU refused.
        OSError: no space.
    """
    machine.save(folder / STATE)
    sparse.copy(memory, folder / RAM)
    removal.remove(memory)
    guest.keep(folder)


def restore(guest: Guest, machine: Machine, folder: Path, memory: Path | None = None) -> None:
    """Start a machine from a state.

    Args:
        guest: its profile.
        machine: not running.
        folder: the state.
        memory: file for the memory of a guest that becomes a state itself: it leans on nothing of the old one. ``None``
            shares memory and disks with all others that run from the state, copy-on-write.

    Raises:
        LabError: no space, or libvirt or QEMU refused.
    """
    try:
        guest.resume(folder, own=memory is not None)
        if memory is not None:
            sparse.copy(folder / RAM, memory)
    except OSError as error:
        raise LabError(f"a saved guest's memory and disks cannot be copied: {error.strerror or error}") from error
    machine.restore(folder / STATE, Ram(memory or folder / RAM, shared=memory is not None))

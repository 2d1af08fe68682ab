"""The licence-free guest: a Debian kernel with a minimal Wine, built by ``harness.images.wine``."""

from __future__ import annotations

from pathlib import Path

from harness.guests.base import Guest
from harness.images.wine import WineImage
from harness.vm.domain import BootSpec, Disk

MEMORY_MIB = 256


class WineGuest(Guest):
    """The Wine guest's profile.

    Args:
        image: what it boots.
        wine_debug: Wine debug channels for the guest's console; empty for the image's default (DbgPrint only).
    """

    name = "wine"
    stack = "linux"
    ready_line = "harness-guest: ready"
    boot_seconds = 60.0

    def __init__(self, image: WineImage, wine_debug: str = "") -> None:
        self._image = image
        self._wine_debug = wine_debug

    def boot_spec(self) -> BootSpec:
        """Direct kernel boot; the disk is read-only and may be shared by any number of guests."""
        image = self._image
        debug = f" harness.winedebug={self._wine_debug}" if self._wine_debug else ""
        disks = (Disk(image.disk, readonly=True),) if image.disk is not None else ()
        return BootSpec(
            memory_mib=MEMORY_MIB, kernel=image.kernel, initrd=image.initrd, cmdline=image.cmdline + debug, disks=disks
        )

    @property
    def ssh_private_key(self) -> Path:
        """The image's login key."""
        return self._image.ssh_private_key

    @property
    def host_public_key(self) -> str:
        """The image's host key."""
        return self._image.host_public_key

"""The licence-free guest: a Debian kernel with a minimal Wine, built by ``harness.guests.wine.wine_image``."""

from __future__ import annotations

import time
from pathlib import Path

from harness.errors import AwaitTimeout, LabError
from harness.guests.base import Guest, Result, Shell
from harness.guests.wine.wine_image import WineImage
from harness.vm.domain import BootSpec, Disk

MEMORY_MIB = 256
_BETWEEN_ATTEMPTS_SECONDS = 1.0
_RENEW = """linux:
. /run/environment; export PATH=/usr/sbin:/usr/bin:/sbin:/bin
killall -9 wineserver64 winedevice.exe services.exe wskctl.exe sc.exe
for pid in $(pidof wine64 wine64-preloader winedevice.exe services.exe sc.exe wskctl.exe); do kill -9 $pid; done
rm -rf /run/services* /tmp/.wine-*; usleep 200000; wineserver64 -p
export WINEDEBUG=-all,+debugstr
{ wine64 'C:\\windows\\system32\\sc.exe' query harness 2>&1 >/run/services
  echo $? >/run/services.status; } </dev/null 2>&1 | cat >/dev/console &
for i in $(seq 1500); do [ -e /run/services.status ] && exit 0; usleep 20000; done
exit 1
"""
"""Ends all of Windows, however it hangs, and starts its services anew; the Linux below and its network stay."""


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

    def renew(self, shell: Shell, timeout: float = 60.0) -> None:
        """Start Windows anew on the running kernel: a driver is user code here, and can be killed."""
        result = self._persistently(shell, timeout)
        if result.exit_code:
            raise LabError("the guest's Windows does not start again", detail=f"{result.stdout}{result.stderr}")

    def _persistently(self, shell: Shell, timeout: float) -> Result:
        """Run it, once more if need be: while a channel to a dying program closes, the guest may refuse another."""
        try:
            return shell.run(_RENEW, timeout)
        except AwaitTimeout:
            raise
        except LabError:
            time.sleep(_BETWEEN_ATTEMPTS_SECONDS)  # nothing tells when the dying channel is gone
            return shell.run(_RENEW, timeout)

"""Windows guests: an image from ``harness image build windows``, driven with Windows' own commands over OpenSSH.

What differs from the commands that every guest takes: the NIC under test is found by its MAC and prepared by a script,
a restart is believed only when the boot identity has changed, driver packages and Driver Verifier exist. None of it has
met a real Windows yet; the tests speak to a server that answers as the documents say Windows does.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness import nics, resources
from harness.driver_build import sign
from harness.errors import AwaitTimeout, Failure, HarnessError, LabError, UsageError
from harness.files import removal
from harness.guests import cache, observations
from harness.guests.base import DUT_INTERFACE, Connection, Guest, Link, Shell
from harness.guests.windows import build as images
from harness.guests.windows import machine as hardware
from harness.guests.windows import powershell
from harness.guests.windows.releases import Release, releases
from harness.guests.windows.state import qemu_img
from harness.lab.network import DUT_NIC_MAC
from harness.model.profile import StackProfile
from harness.nics import Nic
from harness.vm import sparse
from harness.vm.domain import BootSpec

RESTART = "shutdown.exe /r /t 0 /f"
PACKAGE_FOLDER = "C:/harness/package"
PACKAGE_OK, PACKAGE_UNUSED, PACKAGE_RESTART = 0, 259, 3010
VERIFIER_OK, VERIFIER_RESTART = 0, 2
_DUT_EXITS = {
    40: "it has no NIC with the MAC of the NIC under test: no driver for it, or it was not found",
    42: "its NIC under test gets no link",
    41: "an address of its NIC under test cannot be bound",
}
_SCRIPT_SECONDS = 300.0
_OVERLAY, _NIC_FACTS = "overlay.qcow2", "nic.json"
_DOWN_SECONDS = 180.0
_UP_SECONDS = 600.0
_Connection = TypeVar("_Connection", bound=Connection)


@dataclass(frozen=True, slots=True)
class WindowsImage:
    """A sealed image in the cache.

    Args:
        folder: base disk, UEFI variables, key.
        manifest: what it was made of.
    """

    folder: Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        """The guest's name."""
        return str(self.manifest["guest"])

    @property
    def key(self) -> str:
        """Names what it was made of."""
        return str(self.manifest["key"])

    @property
    def release(self) -> Release:
        """The release of Windows.

        Raises:
            LabError: the image is of one that is not known here any more.
        """
        for release in releases():
            if release.name == self.manifest["release"]:
                return release
        raise LabError(f"the image {self.name} is of an unknown Windows: {self.manifest['release']}")

    def expired(self, today: str) -> bool:
        """Whether its evaluation time is over on a day ("2026-12-31"); Windows would power itself off every hour."""
        end = self.manifest.get("expires")
        return bool(end) and today > str(end)


def find(name: str) -> WindowsImage | None:
    """The Windows image of that name in the cache."""
    for entry in cache.entries():
        if entry.manifest.get("kind") == images.KIND and entry.manifest.get("guest") == name:
            return WindowsImage(entry.folder, entry.manifest)
    return None


def names() -> tuple[str, ...]:
    """All Windows guests that have an image."""
    found = [entry.manifest["guest"] for entry in cache.entries() if entry.manifest.get("kind") == images.KIND]
    return tuple(dict.fromkeys(found))


class WindowsGuest(Guest):
    """A Windows guest's profile.

    Args:
        image: what it boots.
        scratch: folder for the overlay that takes what this run writes; on a disk, since it may grow to gigabytes.
        offloads: "off", "on" or "keep": what the NIC's driver is told to leave to the NIC.
        verified: file names of drivers that Driver Verifier watches.
        package: folder with a driver package for the NIC under test.
        memory_mib: in place of the image's.
    """

    stack = "windows"
    ready_line = "HARNESS: up"
    boot_seconds = 600.0
    user = "Administrator"
    own_verifier = False  # Windows has its own
    silence_seconds = 10.0
    login_seconds = 300.0  # the first login of a boot makes a profile
    crash_seconds = 900.0  # Red Hat's tests allow 160 s for the blue screen; then Windows boots and saves the dump

    def __init__(
        self,
        image: WindowsImage,
        scratch: Path,
        *,
        offloads: str = "keep",
        verified: Sequence[str] = (),
        package: Path | None = None,
        memory_mib: int | None = None,
    ) -> None:
        self.name = image.name
        self.image = image
        self.nic_facts: dict[str, Any] = {}
        self._scratch = scratch
        self._offloads = offloads
        self._verified = tuple(verified)
        self._package = package
        self._memory_mib = memory_mib

    @property
    def keeps_state(self) -> bool:
        """Whether an acceptance run saw this image come back from a state; documents do not promise it."""
        return observations.SAVED in (observations.read(self.image.folder / observations.FILE) or {})

    def boot_spec(self) -> BootSpec:
        """The image's machine on a new overlay: what a run writes is gone after it."""
        manifest, release = self.image.manifest, self.image.release
        self.start_over()
        nvram = self._nvram if manifest["uefi"] else None
        return hardware.boot_spec(release, self._overlay, nvram, memory_mib=self._memory_mib or manifest["memory_mib"])

    def start_over(self) -> None:
        """A new overlay on the image's disk, and its UEFI variables."""
        self._lay_over(self.image.folder / images.BASE)
        if self.image.manifest["uefi"]:
            shutil.copyfile(self.image.folder / images.VARS, self._nvram)

    def demands(self) -> dict[str, str]:
        """Offloads, Driver Verifier, and every file of the driver package."""
        found = {"offloads": self._offloads, "Driver Verifier": " ".join(self._verified)}
        if self._package is not None:
            files = sorted(path for path in self._package.iterdir() if path.is_file())
            found |= {f"package {file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        return found

    def keep(self, folder: Path) -> None:
        """The overlay, the UEFI variables, and what was said of the NIC as it was configured."""
        kept = folder / _OVERLAY
        removal.replace(self._overlay, kept)
        with kept.open("rb") as file:
            os.fsync(file.fileno())
        if self.image.manifest["uefi"]:
            sparse.copy(self._nvram, folder / images.VARS)
        (folder / _NIC_FACTS).write_text(json.dumps(self.nic_facts))

    def resume(self, folder: Path, *, own: bool) -> None:
        """The overlay of the state, copied or under another one; the UEFI variables; what was said of the NIC."""
        kept = folder / _OVERLAY
        if own:
            removal.remove(self._overlay)
            sparse.copy(kept, self._overlay)
        else:
            self._lay_over(kept)
        if self.image.manifest["uefi"]:
            shutil.copyfile(folder / images.VARS, self._nvram)
        self.nic_facts = json.loads((folder / _NIC_FACTS).read_text())

    @property
    def _overlay(self) -> Path:
        return self._scratch / _OVERLAY

    @property
    def _nvram(self) -> Path:
        return self._scratch / images.VARS

    def _lay_over(self, disk: Path) -> None:
        removal.remove(self._overlay)
        qemu_img("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(disk.absolute()), str(self._overlay))

    @property
    def ssh_private_key(self) -> Path:
        """The image's login key."""
        return self.image.folder / images.KEY

    @property
    def host_public_key(self) -> str:
        """The host key that the guest told on its serial port while it was installed."""
        return str(self.image.manifest["host_public_key"])

    def versions(self) -> dict[str, str]:
        """Windows' build, and the driver of the NIC under test once that is configured."""
        found = {"Windows": f"{self.image.manifest.get('title', '')} {self.image.manifest.get('build', '')}".strip()}
        if self.nic_facts.get("version"):
            words = ("driver", "version", "provider")
            found["NIC driver"] = " ".join(str(self.nic_facts[word]) for word in words if self.nic_facts.get(word))
        if self._verified:
            found["Driver Verifier"] = f"standard checks of {', '.join(self._verified)}"
        return found

    def obstacle(self, nic: Nic) -> str:
        """From the catalogue, and from what the image said when it was shown the NIC."""
        manifest = self.image.manifest
        trained = manifest.get("inventory", {}).get("trained", {})
        seen = {name: str(facts.get("status", "")) for name, facts in trained.items()}
        packages = str(manifest.get("media", {}).get("packages", "")).split(",")
        return nics.obstacle(nic, str(manifest["release"]), packages=packages, seen=seen)

    def take_driver(self, driver: Path, folder: Path) -> Path:
        """A signed copy, made with the lab's certificate, of a driver that is not signed."""
        if sign.embedded_certificates(driver):
            return driver
        symbols = driver.with_suffix(".debug.sys")
        if symbols.is_file():
            shutil.copyfile(symbols, folder / symbols.name)
        return sign.sign(driver, folder / driver.name)

    def close(self) -> None:
        """Remove the overlay."""
        removal.remove(self._scratch, quiet=True)

    def profile(self) -> StackProfile:
        """Windows as documented, with what an acceptance run of this image saw."""
        supposed = super().profile()
        seen = observations.read(self.image.folder / observations.FILE)
        return observations.apply(supposed, seen) if seen else supposed

    def prepare(self, shell: _Connection, connect: Callable[[], _Connection]) -> _Connection:
        """Install the driver package and set Driver Verifier, and restart for either; the run's overlay keeps both.

        Raises:
            UsageError, Failure: as ``install_package``.
            LabError: Driver Verifier refuses, or does not watch after the restart.
            AwaitTimeout: the restart is not over in time.
        """
        if self._package is not None:
            self.install_package(shell, self._package)
        if self._verified:
            self.set_verifier(shell, self._verified)
        if self._package is None and not self._verified:
            return shell
        shell = self.restart(shell, connect)
        if self._verified and not self.verified(shell):
            raise LabError(f"Driver Verifier does not watch {', '.join(self._verified)} after the restart")
        return shell

    def configure_dut(self, shell: Shell, link: Link, timeout: float = 60.0) -> None:
        """Find the NIC under test by its MAC, prepare it, and give it addresses, neighbours and MTU.

        Offloads come first, since changing them restarts the NIC and drops everything else.
        """
        answer = self._script(shell, "dut", Mac=DUT_NIC_MAC, Name=DUT_INTERFACE, Offloads=self._offloads, Mtu=link.mtu)
        rows = powershell.objects(answer)
        self.nic_facts = rows[0] if rows else {}
        super().configure_dut(shell, link, timeout)
        self._script(shell, "preferred", Name=DUT_INTERFACE)

    def _await_link(self, shell: Shell, timeout: float) -> None:
        """Nothing to do: the script has waited, and netsh says it in the language of the Windows."""

    def install_package(self, shell: Shell, folder: Path) -> list[dict[str, Any]]:
        """Install a driver package for a NIC under test; gives the NIC drivers that Windows then has.

        Args:
            shell: the way into the guest.
            folder: on the host, with one .inf and the files that it names.

        Raises:
            UsageError: no .inf, or several.
            Failure: pnputil refuses it.
        """
        infs = sorted(folder.glob("*.inf"))
        if len(infs) != 1:
            raise UsageError(f"{folder} has {len(infs)} .inf files; a driver package has one")
        shell.run(f"if not exist {_native(PACKAGE_FOLDER)} mkdir {_native(PACKAGE_FOLDER)}", 60.0)
        for path in sorted(folder.iterdir()):
            if path.is_file():
                shell.put(path, f"{PACKAGE_FOLDER}/{path.name}")
        inf = _native(f"{PACKAGE_FOLDER}/{infs[0].name}")
        result = powershell.run(shell, "driver", _SCRIPT_SECONDS, Inf=inf)
        if result.exit_code:
            raise Failure(
                f"pnputil refuses {infs[0].name} with {result.exit_code:#x}", detail=f"{result.stdout}{result.stderr}"
            )
        return powershell.objects(result.stdout)

    def set_verifier(self, shell: Shell, drivers: Sequence[str]) -> bool:
        """Have Driver Verifier watch drivers with its standard checks, or nothing; says whether a restart is needed.

        Raises:
            LabError: verifier.exe refuses.
        """
        words = f"/standard /driver {' '.join(drivers)}" if drivers else "/reset"
        result = shell.run(f'cmd.exe /c "verifier.exe {words} 2>&1"', 120.0)
        if result.exit_code not in (VERIFIER_OK, VERIFIER_RESTART):
            raise LabError(f"Driver Verifier refuses {words}", detail=result.stdout)
        self._verified = tuple(drivers)
        return result.exit_code == VERIFIER_RESTART

    def verified(self, shell: Shell) -> bool:
        """Whether Driver Verifier watches what it was told to watch, by its own words."""
        result = shell.run('cmd.exe /c "verifier.exe /querysettings 2>&1"', 120.0)
        return all(driver.lower() in result.stdout.lower() for driver in self._verified)

    def watcher(self, shell: Shell) -> str:
        """Driver Verifier, where it was asked for.

        Raises:
            LabError: it does not name the driver when it is asked what it watches.
        """
        if not self._verified:
            return ""
        if not self.verified(shell):
            raise LabError(f"Driver Verifier does not say that it watches {', '.join(self._verified)}")
        return f"Driver Verifier of {self.name} watches {', '.join(self._verified)}"

    def boot_identity(self, shell: Shell) -> str:
        """When this Windows was booted, by its own clock."""
        return self._script(shell, "boot").strip()

    def restart(self, shell: _Connection, connect: Callable[[], _Connection]) -> _Connection:
        """Restart Windows and log in again.

        Windows' sshd goes on answering while it shuts down, so a login proves nothing: the old connection must end, and
        the boot identity must have changed.

        Args:
            shell: the connection that ends.
            connect: makes a new one, waiting for as long as a boot takes.

        Raises:
            AwaitTimeout: it did not go down, or came back as the boot that it was before.
        """
        before = self.boot_identity(shell)
        try:
            shell.run(RESTART, 60.0)
        except AwaitTimeout:
            raise
        except LabError:
            pass  # Windows may take the connection down before it tells the command's exit code
        if not shell.await_end(_DOWN_SECONDS):
            raise AwaitTimeout("Windows to go down for its restart", _DOWN_SECONDS)
        shell.close()
        for _ in range(3):
            fresh = connect()
            try:
                if self.boot_identity(fresh) != before:
                    return fresh
            except HarnessError:
                pass  # it was going down after all
            fresh.await_end(_DOWN_SECONDS)
            fresh.close()
        raise AwaitTimeout("Windows to come back from its restart as another boot", _UP_SECONDS)

    def _script(self, shell: Shell, name: str, **variables: str | int) -> str:
        result = powershell.run(shell, name, _SCRIPT_SECONDS, **variables)
        if result.exit_code:
            said = " ".join(f"{result.stdout} {result.stderr}".split())[:500]
            reason = _DUT_EXITS.get(result.exit_code, f"exit code {result.exit_code:#x}")
            raise LabError(f"the guest's script {name} failed: {reason}", detail=said)
        return result.stdout


def scratch_folder(name: str) -> Path:
    """A folder on a disk for what a guest's run writes; the caller removes it."""
    folder = resources.cache() / "windows-runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _native(path: str) -> str:
    return path.replace("/", "\\")

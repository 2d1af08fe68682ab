"""The files that a user gives besides the Windows media: OpenSSH for Windows, and drivers from the virtio-win ISO."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.guests.windows.iso import Iso
from harness.guests.windows.releases import Release

DRIVERS = ("NetKVM", "vioserial", "pvpanic", "fwcfg")
"""What the harness wants of virtio-win: the NIC, the channel of the guest agent, crash reports, dumps from the host."""
_REQUIRED = ("NetKVM",)
_KEPT = (".inf", ".cat", ".sys", ".dll", ".exe")
_MSI_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
WHERE_SSH = "take OpenSSH-Win64.zip or .msi from the releases of PowerShell/Win32-OpenSSH and give it with --openssh"


@dataclass(frozen=True, slots=True)
class Ssh:
    """A package of Win32-OpenSSH: where it is, and the name it gets in the seed."""

    path: Path
    name: str


def openssh(path: Path | None, release: Release) -> Ssh | None:
    """Check the user's OpenSSH package; ``None`` when the release brings its own and nothing was given.

    Raises:
        UsageError: it is needed and missing, or is no OpenSSH for 64-bit Windows.
    """
    if path is None:
        if release.inbox_sshd:
            return None
        raise UsageError(f"{release.title} has no OpenSSH server on its media", mend=WHERE_SSH)
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if head == _MSI_MAGIC:
        return Ssh(path, "OpenSSH.msi")
    if head[:4] == b"PK\x03\x04":
        _check_zip(path)
        return Ssh(path, "OpenSSH.zip")
    raise UsageError(f"{path} is neither a .zip nor an .msi of OpenSSH for Windows", mend=WHERE_SSH)


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).name.lower(): name for name in archive.namelist()}
            missing = {"sshd.exe", "install-sshd.ps1"} - set(names)
            if missing:
                raise UsageError(f"{path} is not OpenSSH for Windows: no {', '.join(sorted(missing))}", mend=WHERE_SSH)
            with archive.open(names["sshd.exe"]) as program:
                head = program.read(4096)
    except (zipfile.BadZipFile, OSError) as error:
        raise UsageError(f"{path} is damaged: {error}", mend=WHERE_SSH) from error
    header = int.from_bytes(head[0x3C:0x40], "little")
    if head[header : header + 6] != b"PE\0\0\x64\x86":
        raise UsageError(f"{path} holds an sshd.exe that is not for 64-bit Windows", mend=WHERE_SSH)


def virtio_drivers(path: Path, release: Release) -> dict[str, bytes]:
    """The driver files for a release, by their path below ``drivers`` ("NetKVM/netkvm.inf").

    Raises:
        UsageError: no virtio-win ISO, or it has no NIC driver for the release.
    """
    files: dict[str, bytes] = {}
    with Iso(path) as iso:
        for driver in DRIVERS:
            folder = iso.find(f"{driver}/{release.virtio}/amd64")
            if folder is None:
                if driver in _REQUIRED:
                    raise UsageError(
                        f"{path.name} has no {driver}/{release.virtio}/amd64, the NIC driver for {release.title}",
                        mend="give a current virtio-win ISO",
                    )
                continue
            for name, node in iso.walk(folder):
                if name.lower().endswith(_KEPT):
                    files[f"{driver}/{name}"] = iso.read(node)
    return files

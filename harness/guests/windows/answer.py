"""Makes the answer file of Windows Setup from the template ``images/windows/autounattend.xml.j2``: pure.

Limits from Microsoft's unattend reference: a RunSynchronous path has at most 259 characters, a first-logon command line
1024, a computer name 15.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import jinja2

from harness.errors import UsageError
from harness.guests.windows.media import Edition
from harness.guests.windows.releases import Release, recipe

FILE = "autounattend.xml"
PATH_LIMIT, COMMAND_LIMIT, NAME_LIMIT = 259, 1024, 15
_LAB_CONFIG = ("BypassTPMCheck", "BypassSecureBootCheck", "BypassRAMCheck", "BypassCPUCheck")
_KEY = re.compile(r"([A-Z0-9]{5}-){4}[A-Z0-9]{5}")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,13}[A-Za-z0-9])?")
_DRIVES = "C D E F G H I J K"


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of disk 0; no size means the rest of the disk."""

    number: int
    type: str
    size_mb: int = 0
    format: str = ""
    label: str = ""
    letter: str = ""
    active: bool = False


UEFI_LAYOUT = (
    Partition(1, "EFI", 260, "FAT32", "System"),
    Partition(2, "MSR", 16),
    Partition(3, "Primary", 0, "NTFS", "Windows", "C"),
)
BIOS_LAYOUT = (
    Partition(1, "Primary", 500, "NTFS", "System", active=True),
    Partition(2, "Primary", 0, "NTFS", "Windows", "C"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the answer file says.

    Args:
        release: decides what Setup must be told.
        index: of the edition in the WIM.
        language: of the media; another one would be refused.
        computer_name: at most 15 letters, digits and hyphens.
        password: Administrator's.
        product_key: for media that are not for evaluation; empty without one.
        uefi: disk layout for UEFI, otherwise BIOS.
    """

    release: Release
    index: int
    language: str
    computer_name: str
    password: str
    product_key: str = ""
    uefi: bool = True

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.computer_name):
            raise UsageError(
                f"{self.computer_name!r} cannot name a Windows computer", mend="15 letters, digits and hyphens at most"
            )
        if self.product_key and not _KEY.fullmatch(self.product_key):
            raise UsageError("the product key is not five groups of five letters and digits")

    def __repr__(self) -> str:
        """Without its secrets."""
        return f"Answer({self.release.name}, index {self.index}, {self.computer_name})"

    @property
    def server(self) -> bool:
        """Whether it is for a server release."""
        return self.release.server

    @property
    def skip_oobe(self) -> bool:
        """Whether the first-logon questions need the deprecated switches too."""
        return self.release.skip_oobe

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The disk's layout."""
        return UEFI_LAYOUT if self.uefi else BIOS_LAYOUT

    @property
    def target(self) -> int:
        """The partition that Windows goes to."""
        return self.partitions[-1].number

    @property
    def setup_commands(self) -> tuple[str, ...]:
        """Commands of Windows PE, before the disk is touched."""
        bypass = tuple(
            rf"reg.exe add HKLM\SYSTEM\Setup\LabConfig /v {name} /t REG_DWORD /d 1 /f"
            for name in _LAB_CONFIG
            if self.release.checks
        )
        return (*bypass, beacon("phase windowspe"))

    @property
    def specialize_commands(self) -> tuple[str, ...]:
        """Commands of the first boot from the disk."""
        return (
            beacon("phase specialize"),
            "net.exe user Administrator /active:yes",
            r"reg.exe add HKLM\SYSTEM\CurrentControlSet\Control\Network\NewNetworkWindowOff /f",
            r"reg.exe add HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\OOBE /v BypassNRO /t REG_DWORD /d 1 /f",
        )

    @property
    def logon_commands(self) -> tuple[str, ...]:
        """Commands of the first logon: tell the host, then look for the kit on every drive."""
        script = r"%i:\harness\provision.ps1"
        power = f"powershell.exe -NoProfile -ExecutionPolicy Bypass -File {script} %i:"
        return (
            beacon("phase first-logon"),
            f"cmd.exe /c for %i in ({_DRIVES}) do @if exist {script} {power}",
        )


def beacon(text: str) -> str:
    """A command that tells the host something on COM1; a machine without one must not fail Setup."""
    return f"cmd.exe /c echo HARNESS: {text} > COM1 & exit 0"


def for_edition(
    edition: Edition, release: Release, *, name: str, password: str, product_key: str = "", uefi: bool = True
) -> Answer:
    """The answers for an edition; the computer's name is made from the image's."""
    computer = re.sub(r"[^A-Za-z0-9-]", "-", name)[:NAME_LIMIT].strip("-") or "harness"
    return Answer(release, edition.index, edition.language, computer, password, product_key, uefi)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(recipe()),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def render(answer: Answer) -> str:
    """The answer file's text (UTF-8)."""
    text = _environment().get_template(f"{FILE}.j2").render(answer=answer)
    return "\n".join(line for line in text.splitlines() if line.strip()) + "\n"

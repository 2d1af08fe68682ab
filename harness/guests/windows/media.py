"""What installation media hold: architecture, editions, release, language; and one clear line when they are wrong.

The editions come from the XML inside ``sources/install.wim`` (or ``.esd``), read by wimlib from a sparse copy that has
only the file's head and tail structures, so that nothing large is unpacked.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from harness import children
from harness.errors import LabError, UsageError
from harness.files import removal
from harness.guests.windows.iso import Iso, Node
from harness.guests.windows.releases import Release, by_build

WIM_MAGIC = b"MSWIM\0\0\0"
ARCHITECTURES = {0: "x86", 5: "ARM", 9: "x64", 12: "ARM64"}
"""PROCESSOR_ARCHITECTURE_* of winnt.h, as the WIM's ARCH element has them."""
_LOADERS = {"efi/boot/bootx64.efi": "x64", "efi/boot/bootaa64.efi": "ARM64", "efi/boot/bootia32.efi": "x86"}
_RESOURCES = ((0x30, "lookup table"), (0x48, "XML"))  # offsets of resource headers in the WIM header


@dataclass(frozen=True, slots=True)
class Edition:
    """One image of the WIM.

    Args:
        index: what the answer file chooses it by, from 1.
        name: "Windows Server 2022 SERVERSTANDARD".
        title: what Setup shows: "Windows Server 2022 Standard Evaluation (Desktop Experience)".
        edition_id: "ServerStandardEval".
        installation: "Server", "Server Core" or "Client".
        architecture: "x64".
        build, revision: 20348, 587.
        language: default language, "en-US".
        evaluation: it expires.
    """

    index: int
    name: str
    title: str
    edition_id: str
    installation: str
    architecture: str
    build: int
    revision: int
    language: str
    evaluation: bool


@dataclass(frozen=True, slots=True)
class Media:
    """Installation media that were looked at and found usable.

    Args:
        path: the ISO.
        editions: what can be installed from it.
    """

    path: Path
    editions: tuple[Edition, ...]

    def choose(self, wanted: str = "") -> Edition:
        """The edition that a name, title, edition id or index means; without one, the only one there is.

        A name that several editions carry in them is open, unless one is exactly it.

        Raises:
            UsageError: none or several; the message lists all.
        """
        matching = [edition for edition in self.editions if _means(edition, wanted)]
        exact = [edition for edition in matching if _is(edition, wanted)]
        matching = exact or matching
        if len(matching) == 1:
            return matching[0]
        if not wanted:
            what = f"{self.path.name} has several editions"
        elif matching:
            what = f"{wanted!r} means several editions of {self.path.name}"
        else:
            what = f"{self.path.name} has no edition {wanted!r}"
        raise UsageError(what, mend="name one with --edition", detail=self.listing())

    def listing(self) -> str:
        """The editions as lines for a person."""
        return "\n".join(f"  {e.index}  {e.title}  [{e.edition_id}, build {e.build}]" for e in self.editions)


def release_of(edition: Edition) -> Release:
    """The release that the edition belongs to; UsageError when it is not known."""
    return by_build(edition.build, server=edition.installation.startswith("Server"))


def inspect(path: Path) -> Media:
    """Look at installation media.

    Raises:
        UsageError: unreadable, no ISO, no Windows installation media, or not for x64; one line says which.
        LabError: wimlib is missing.
    """
    if not path.exists():
        raise UsageError(f"no such file: {path}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder", mend="give the .iso file")
    with Iso(path) as iso:
        wim = _wim(iso)
        _check_loader(iso)
        editions = _editions(_xml(iso, wim), path)
    wrong = {edition.architecture for edition in editions} - {"x64"}
    if wrong and not any(edition.architecture == "x64" for edition in editions):
        raise UsageError(f"{path.name} holds Windows for {', '.join(sorted(wrong))}", mend="take the x64 media")
    usable = tuple(edition for edition in editions if edition.architecture == "x64")
    if not usable:
        raise UsageError(f"{path.name} holds no edition of Windows", mend="download it again")
    return Media(path, usable)


def _wim(iso: Iso) -> Node:
    for name in ("install.wim", "install.esd"):
        node = iso.find(f"sources/{name}")
        if node is not None:
            return node
    if iso.find("sources/install.swm") is not None:
        raise UsageError(f"{iso.path.name} has a split install.swm", mend="give the .iso file as Microsoft offers it")
    raise UsageError(
        f"{iso.path.name} is not Windows installation media: it has no sources/install.wim",
        mend="give the .iso file of the Windows to test",
    )


def _check_loader(iso: Iso) -> None:
    found = {architecture for loader, architecture in _LOADERS.items() if iso.find(loader) is not None}
    if "x64" not in found:
        if found:
            what = f"{iso.path.name} boots {', '.join(sorted(found))} machines only"
            raise UsageError(what, mend="take the x64 media")
        raise UsageError(f"{iso.path.name} does not boot by UEFI: it has no efi/boot/bootx64.efi")


def _xml(iso: Iso, wim: Node) -> ET.Element:
    head = iso.read(wim, 0, 208)
    if len(head) < 208 or head[:8] != WIM_MAGIC:
        raise UsageError(f"{iso.path.name}: {wim.name} is not a WIM file", mend="download it again")
    if children.find("wimlib-imagex") is None:
        raise LabError("wimlib-imagex is missing", mend="apt-get install wimtools")
    with removal.scratch("harness-wim-") as folder:
        copy, xml = folder / "install.wim", folder / "info.xml"
        with copy.open("wb") as file:  # sparse: the archive's head, its tables, and nothing in between
            file.write(head)
            for at, what in _RESOURCES:
                size, offset = struct.unpack_from("<QQ", head, at)
                size &= (1 << 56) - 1  # the upper byte has flags
                if offset + size > wim.size:
                    raise UsageError(f"{iso.path.name}: {wim.name} ends before its {what}", mend="download it again")
                file.seek(offset)
                file.write(iso.read(wim, offset, size))
            file.truncate(max(wim.size, file.tell()))
        command = ["wimlib-imagex", "info", str(copy), "--extract-xml", str(xml)]
        run = children.run(command)
        if run.returncode:
            reason = (run.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ").strip()
            raise UsageError(f"wimlib cannot read {wim.name} of {iso.path.name}: {reason}", mend="download it again")
        try:
            return ET.fromstring(xml.read_bytes().decode("utf-16"))
        except (ET.ParseError, UnicodeError) as error:
            raise UsageError(f"{iso.path.name}: the list of editions is damaged ({error})") from error


def _editions(root: ET.Element, path: Path) -> list[Edition]:
    found = []
    for image in root.iter("IMAGE"):
        windows = image.find("WINDOWS")
        if windows is None:  # e.g. the Setup image of an .esd
            continue
        number = int(windows.findtext("ARCH", "-1"))
        name = image.findtext("NAME", "")
        edition_id = windows.findtext("EDITIONID", "")
        installation = windows.findtext("INSTALLATIONTYPE", "Client")
        if installation in ("WindowsPE",):
            continue
        try:
            index, build = int(image.get("INDEX", "")), int(windows.findtext("VERSION/BUILD", ""))
            revision = int(windows.findtext("VERSION/SPBUILD", "0"))
        except ValueError as error:
            raise UsageError(f"{path.name}: the list of editions is damaged (no index or build number)") from error
        found.append(
            Edition(
                index=index,
                name=name,
                title=image.findtext("DISPLAYNAME") or name,
                edition_id=edition_id,
                installation=installation,
                architecture=ARCHITECTURES.get(number, f"architecture {number}"),
                build=build,
                revision=revision,
                language=windows.findtext("LANGUAGES/DEFAULT") or "en-US",
                evaluation=edition_id.lower().endswith("eval"),
            )
        )
    return found


def _words(edition: Edition) -> tuple[str, ...]:
    return (edition.name.lower(), edition.title.lower(), edition.edition_id.lower(), str(edition.index))


def _is(edition: Edition, wanted: str) -> bool:
    return wanted.lower() in _words(edition)


def _means(edition: Edition, wanted: str) -> bool:
    return _is(edition, wanted) or any(wanted.lower() in word for word in _words(edition)[:3])

"""What the tests of Windows guests stand on: media in miniature, made by the tools that make real ones."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLS = ("wimlib-imagex", "xorriso", "genisoimage")


@dataclass(frozen=True)
class Image:
    """One edition to put into a WIM."""

    title: str = "Windows Server 2022 Standard Evaluation (Desktop Experience)"
    name: str = "Windows Server 2022 SERVERSTANDARD"
    edition_id: str = "ServerStandardEval"
    installation: str = "Server"
    architecture: int = 9
    build: int = 20348
    language: str = "en-US"


CORE = Image(
    "Windows Server 2022 Standard Evaluation", "Windows Server 2022 SERVERSTANDARDCORE", installation="Server Core"
)
DESKTOP = Image()
CLIENT = Image(
    "Windows 11 Enterprise LTSC", "Windows 11 Enterprise LTSC", "EnterpriseS", installation="Client", build=26100
)


def need(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def wim(path: Path, images: Sequence[Image]) -> Path:
    need("wimlib-imagex")
    tree = path.parent / "wim-tree"
    tree.mkdir(exist_ok=True)
    (tree / "file.txt").write_bytes(bytes(range(256)) * 4096)
    for number, image in enumerate(images, 1):
        verb = ["capture" if number == 1 else "append", str(tree), str(path), f"{image.name} {number}"]
        _run(["wimlib-imagex", *verb])
        values = {
            "NAME": image.name if len(images) == 1 else f"{image.name}",
            "DISPLAYNAME": image.title,
            "WINDOWS/ARCH": image.architecture,
            "WINDOWS/EDITIONID": image.edition_id,
            "WINDOWS/INSTALLATIONTYPE": image.installation,
            "WINDOWS/VERSION/MAJOR": 10,
            "WINDOWS/VERSION/BUILD": image.build,
            "WINDOWS/VERSION/SPBUILD": 587,
            "WINDOWS/LANGUAGES/DEFAULT": image.language,
        }
        properties = [word for key, value in values.items() for word in ("--image-property", f"{key}={value}")]
        _run(["wimlib-imagex", "info", str(path), str(number), *properties])
    return path


def media(
    folder: Path, images: Sequence[Image] = (CORE, DESKTOP), *, udf: bool = True, loader: str = "efi/boot/bootx64.efi"
) -> Path:
    """An ISO with the files that installation media are known by."""
    need(*TOOLS)
    tree = folder / "media"
    (tree / "sources").mkdir(parents=True)
    (tree / "boot").mkdir()
    (tree / "boot" / "bcd").write_bytes(b"bcd")
    wim(folder / "install.wim", images)
    (folder / "install.wim").rename(tree / "sources" / "install.wim")
    if loader:
        (tree / loader).parent.mkdir(parents=True, exist_ok=True)
        (tree / loader).write_bytes(b"MZ")
    out = folder / ("windows-udf.iso" if udf else "windows-joliet.iso")
    return iso(tree, out, udf=udf)


def iso(tree: Path, out: Path, *, udf: bool = False) -> Path:
    need("genisoimage")
    form = ["-udf"] if udf else ["-J", "-joliet-long"]
    _run(
        [
            "genisoimage",
            "-quiet",
            "-allow-limited-size",
            "-iso-level",
            "3",
            "-V",
            "TEST",
            *form,
            "-o",
            str(out),
            str(tree),
        ]
    )
    return out


def _run(command: list[str]) -> None:
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr

"""The Wine prefix of the guest: made by Wine itself in the unpacked tree, then pruned to what a driver start needs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness import children
from harness.errors import LabError
from harness.files import removal

PREFIX = "wine"
WINE_DLLS = "usr/lib/x86_64-linux-gnu/wine/x86_64-windows"
_SECONDS = 240.0

# $1 is the tree. Its own /dev, /proc and /tmp exist only in this process's mount namespace.
_MAKE = """
set -eu
cd "$1"
mkdir -p dev proc tmp root
mount --rbind /dev dev
mount -t proc proc proc || mount --rbind /proc proc
mount -t tmpfs tmpfs tmp
exec chroot . /bin/busybox env -i PATH=/usr/bin:/bin HOME=/root WINEPREFIX=/wine WINEARCH=win64 WINEDEBUG=-all \
    WINEDLLOVERRIDES='mscoree,mshtml,winemenubuilder.exe,explorer.exe=' /bin/busybox sh -c '
        /usr/lib/wine/wine64 wineboot.exe -i; /usr/lib/wine/wineserver64 -w; test -f /wine/system.reg'
"""


def make(tree: Path) -> None:
    """Let Wine make its prefix in ``tree``/wine, without a display, a network or root.

    Raises:
        LabError: namespaces are not available, or Wine made no prefix.
    """
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    argv = ["unshare", *user, "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", _MAKE, "sh", str(tree)]
    try:
        run = children.run(argv, seconds=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"Wine did not make its prefix within {_SECONDS:.0f} s") from error
    if run.returncode:
        said = (run.stderr + run.stdout).strip()
        raise LabError(
            f"Wine could not make its prefix: {said.splitlines()[-1] if said else f'exit code {run.returncode}'}",
            mend="the builder needs mount and PID namespaces (root, or unprivileged user namespaces)",
            detail=said,
        )


def prune(tree: Path, programs: Iterable[str], keep: Sequence[str], drop: Sequence[str], add: str) -> None:
    """Leave of a fresh prefix the named DLLs and programs, and the registry sections that the recipe keeps or adds.

    The files of system32 become links to the builtins that they stand for, so that no byte is stored twice.
    """
    prefix = tree / PREFIX
    windows = prefix / "drive_c/windows"
    for path in list(windows.iterdir()):
        if path.is_dir() and path.name != "system32":
            removal.remove(path)
    for unused in ("Program Files", "Program Files (x86)", "ProgramData"):
        removal.remove(prefix / "drive_c" / unused, quiet=True)
    removal.remove(windows / "system32")
    (windows / "system32/drivers").mkdir(parents=True)
    (windows / "temp").mkdir()
    for name in programs:
        (windows / "system32" / name).symlink_to(f"/{WINE_DLLS}/{name}")
    for name in ("system.reg", "user.reg", "userdef.reg"):
        file = prefix / name
        file.write_text(pruned_registry(file.read_text(), keep, drop))
    with (prefix / "system.reg").open("a") as system:
        system.write("\n" + add)
    (prefix / ".update-timestamp").write_text("disable\n")  # no wineboot --update when wine.inf looks newer


def pruned_registry(text: str, keep: Sequence[str], drop: Sequence[str]) -> str:
    """A registry file of Wine's with only the sections wanted.

    A section belongs to the longest of the prefixes in ``keep`` and ``drop`` that its path begins with (case
    ignored), and goes when that one is in ``drop``, or when there is none.

    Args:
        text: the file: a head, then sections that begin with a line ``[Path] time``, backslashes of the path doubled.
        keep: path prefixes of sections that stay, with single backslashes.
        drop: path prefixes of sections that go.
    """
    head, *sections = text.split("\n[")
    return "\n[".join([head, *(body for body in sections if _wanted(body, keep, drop))]).rstrip("\n") + "\n"


def _wanted(section: str, keep: Sequence[str], drop: Sequence[str]) -> bool:
    path = section.partition("]")[0].replace("\\\\", "\\").lower() + "\\"
    longest = max(
        (len(prefix), wanted)
        for wanted, prefixes in ((True, keep), (False, drop))
        for prefix in ["", *prefixes]
        if path.startswith(prefix.lower()) and (prefix or not wanted)
    )
    return longest[1]

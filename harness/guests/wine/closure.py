"""What a program needs in order to be loaded: the files that PE and ELF images import, and theirs in turn."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pefile

from harness import children
from harness.errors import LabError


def pe_closure(folder: Path, names: Iterable[str]) -> list[str]:
    """PE files with all that they import, delayed imports not followed.

    Args:
        folder: where all PE files lie (names in lower case).
        names: the files asked for.

    Raises:
        LabError: a file that was asked for, or one that is imported, is not there.
    """
    needed: set[str] = set()
    waiting = [(name, "the recipe") for name in names]
    while waiting:
        name, wanted_by = waiting.pop()
        if name in needed:
            continue
        if not (folder / name).is_file():
            raise LabError(
                f"the Wine packages have no {name}, which {wanted_by} needs", mend="see images/wine/recipe.toml"
            )
        needed.add(name)
        waiting += [(imported, name) for imported in _pe_imports(folder / name)]
    return sorted(needed)


def elf_closure(tree: Path, files: Iterable[Path]) -> list[Path]:
    """The shared objects that ELF files of an unpacked system need, as the system's own loader resolves them.

    Args:
        tree: root of the system.
        files: programs and shared objects inside it.

    Returns:
        Paths relative to the tree, the loader itself included.

    Raises:
        LabError: the loader cannot resolve them.
    """
    libraries = tree / "usr/lib/x86_64-linux-gnu"
    loader = libraries / "ld-linux-x86-64.so.2"
    needed = {loader.relative_to(tree)}
    for file in files:
        argv: list[str | Path] = [
            loader,
            "--inhibit-cache",
            "--library-path",
            f"{libraries}:{file.parent}",
            "--list",
            file,
        ]
        listed = children.run(argv)
        missing = [line.split()[0] for line in listed.stdout.splitlines() if line.endswith("not found")]
        if listed.returncode or missing:
            why = f"{', '.join(missing)} not found" if missing else listed.stderr.strip()
            raise LabError(f"cannot resolve the libraries of {file.relative_to(tree)}: {why}")
        for line in listed.stdout.splitlines():
            _, arrow, target = line.partition(" => ")
            if arrow:
                needed.add(Path(target.rsplit(" (", 1)[0]).relative_to(tree))
    return sorted(needed)


def _pe_imports(file: Path) -> list[str]:
    with pefile.PE(str(file), fast_load=True) as image:
        image.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IMPORT"]])
        return [entry.dll.decode("ascii").lower() for entry in getattr(image, "DIRECTORY_ENTRY_IMPORT", [])]

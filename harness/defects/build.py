"""Builds the sample driver with one defect: what it changes is compiled, all else is the clean build's."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness import removal, resources
from harness.defects.table import Defect
from harness.drivers import build as drivers

_SYS = "wsksend.sys"


@dataclass(frozen=True, slots=True)
class Objects:
    """The clean driver's sources and object files, by the sources' names."""

    sources: Path
    folder: Path

    @classmethod
    def make(cls, folder: Path, jobs: int = 2) -> Objects:
        """Compile every file of the sample driver into ``folder``.

        Raises:
            LabError: the compiler is missing, or the sources do not compile.
        """
        sources = resources.root() / "drivers"
        files = sorted((sources / "wsksend").glob("*.c"))
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(lambda file: drivers.compile_kernel(file, folder / f"{file.stem}.o", sources), files))
        return cls(sources, folder)


def build(defect: Defect, clean: Objects, out: Path) -> Path:
    """The driver with the defect; its build with symbols lies beside it.

    Raises:
        UsageError: the defect does not fit the driver's sources any more.
        LabError: the changed sources do not compile.
    """
    out.mkdir(parents=True, exist_ok=True)
    with removal.scratch("defect-") as temporary:
        tree = temporary / "drivers"
        shutil.copytree(clean.sources / "include", tree / "include")
        shutil.copytree(clean.sources / "wsksend", tree / "wsksend")
        changed = _change(defect, tree / "wsksend")
        objects = []
        for file in sorted((tree / "wsksend").glob("*.c")):
            made = clean.folder / f"{file.stem}.o"
            if file.name in changed:
                made = temporary / f"{file.stem}.o"
                drivers.compile_kernel(file, made, tree, (defect.define,) if defect.define else ())
            objects.append(made)
        drivers.link_driver(out / _SYS, objects)
    return out / _SYS


def _change(defect: Defect, folder: Path) -> set[str]:
    """Apply the edits in ``folder``; gives the names of the files to compile."""
    for edit in defect.edits:
        path = folder / edit.file
        path.write_text(edit.apply(path.read_text()))
    if not defect.define:
        return {edit.file for edit in defect.edits}
    return {path.name for path in folder.glob("*.c") if defect.define in path.read_text()} | {"dispatch.c"}

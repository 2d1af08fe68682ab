"""Builds the sample driver from changed sources: compiles only the changed files, and shares the other objects.

The known bugs of ``tests/defects`` and the acceptance of a Windows need such drivers.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness import resources
from harness.driver_build import build as drivers
from harness.errors import UsageError
from harness.files import removal

_SYS = "wsksend.sys"


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one file of ``drivers/wsksend``: ``new`` replaces ``old``, which occurs exactly once in the file."""

    file: str
    old: str
    new: str

    def apply(self, source: str) -> str:
        """Return the changed source.

        Raises:
            UsageError: ``old`` does not occur exactly once, so the edit does not fit the driver's sources.
        """
        if source.count(self.old) != 1:
            first = self.old.strip().splitlines()[0]
            raise UsageError(
                f"{self.file} has {source.count(self.old)} times {first!r}, which a defect changes",
                mend="bring the edit in line with drivers/wsksend",
            )
        return source.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Objects:
    """The unchanged driver's sources (a ``drivers`` folder) and the folder of its object files, named after them."""

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


def build(edits: Sequence[Edit], clean: Objects, out: Path) -> Path:
    """Build the driver with the edits into ``out``, and return its image; the one with symbols lies beside it.

    After an edit of a header every file is compiled, since any of them may include it.

    Raises:
        UsageError: an edit does not fit the driver's sources.
        LabError: the changed sources do not compile.
    """
    out.mkdir(parents=True, exist_ok=True)
    with removal.scratch("edited-") as temporary:
        tree = temporary / "drivers"
        shutil.copytree(clean.sources / "include", tree / "include")
        shutil.copytree(clean.sources / "wsksend", tree / "wsksend")
        for edit in edits:
            path = tree / "wsksend" / edit.file
            path.write_text(edit.apply(path.read_text()))
        changed = {edit.file for edit in edits}
        everything = any(name.endswith(".h") for name in changed)
        objects = []
        for file in sorted((tree / "wsksend").glob("*.c")):
            made = clean.folder / f"{file.stem}.o"
            if everything or file.name in changed:
                made = temporary / f"{file.stem}.o"
                drivers.compile_kernel(file, made, tree)
            objects.append(made)
        drivers.link_driver(out / _SYS, objects)
    return out / _SYS

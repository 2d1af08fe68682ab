"""The known bugs of ``tests/defects/driver.toml`` as values, and their edits applied to sources."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import resources
from harness.errors import UsageError

FOLDER = "tests/defects"
GROUPS = {
    "A": "wrong bytes or destination",
    "B": "completion and lifetime",
    "C": "lifecycle",
    "D": "the driver's own device and options",
    "V": "what only the verifier can see",
    "W": "the wire",
    "L": "the lab",
    "F": "the files of a run",
}


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one source file: a text that occurs exactly once in it, and what stands there instead."""

    file: str
    old: str
    new: str

    def apply(self, source: str) -> str:
        """The changed source.

        Raises:
            UsageError: the text does not occur, or more than once: the driver has changed, the defect has not.
        """
        if source.count(self.old) != 1:
            first = self.old.strip().splitlines()[0]
            raise UsageError(
                f"{self.file} has {source.count(self.old)} times {first!r}, which a defect changes",
                mend=f"bring {FOLDER}/driver.toml in line with the driver",
            )
        return source.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Defect:
    """One known bug of the driver.

    Args:
        id: its name.
        group: key of ``GROUPS``.
        what: what is wrong.
        expects: what must name it, any of ``VERDICT:FIELD`` and ``reason:TEXT``.
        cases: node ids of the suite, at least one of which must catch it.
        define: switch of ``defects.h``, or empty.
        edits: changes of the sources, or none.
        survives: cases that must pass all the same, because the guest is renewed after the one that failed.
    """

    id: str
    group: str
    what: str
    expects: tuple[str, ...]
    cases: tuple[str, ...]
    define: str = ""
    edits: tuple[Edit, ...] = ()
    survives: tuple[str, ...] = ()


def load(folder: Path | None = None) -> tuple[Defect, ...]:
    """All known bugs of the driver, in the table's order.

    Raises:
        UsageError: the table cannot be read.
    """
    path = (folder or resources.root() / FOLDER) / "driver.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return tuple(_defect(name, entry) for name, entry in table.items())
    except OSError as error:
        raise UsageError(f"cannot read the defects: {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, TypeError, KeyError) as error:
        raise UsageError(f"{path} is not a table of defects: {error}") from error


def _defect(name: str, entry: dict[str, Any]) -> Defect:
    edits = tuple(Edit(**edit) for edit in entry.pop("edits", ()))
    lists: dict[str, Any] = {key: tuple(entry.pop(key, ())) for key in ("expects", "cases", "survives")}
    defect = Defect(id=name, edits=edits, **lists, **entry)
    if defect.group not in GROUPS or not defect.cases or not defect.expects or bool(edits) == bool(defect.define):
        raise KeyError(f"{name}: needs a group, cases, expects, and either edits or a define")
    return defect


def chosen(defects: tuple[Defect, ...], only: str = "") -> tuple[Defect, ...]:
    """Those of a group or id; all when neither is asked."""
    return tuple(defect for defect in defects if (not only or only in (defect.group, defect.id)))

"""The known bugs of ``tests/defects/driver.toml`` as values, and their edits applied to sources."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import resources
from harness.driver_build.edited import Edit
from harness.errors import UsageError

FOLDER = "tests/defects"
GROUPS = {
    "A": "wrong bytes or destination",
    "B": "completion and lifetime",
    "C": "lifecycle",
    "D": "the driver's own device and options",
    "V": "what only the verifier can see",
    "W": "the wire",
    "S": "a guest that sends as somebody else",
    "L": "the lab",
    "E": "caches and watchers",
    "F": "the files of a run",
    "T": "tests that fail in ways that once left no result",
}


@dataclass(frozen=True, slots=True)
class Defect:
    """One known bug of the driver.

    Args:
        id: its name.
        group: key of ``GROUPS``.
        what: what is wrong.
        expects: what must name it, any of ``VERDICT:FIELD`` and ``reason:TEXT``.
        cases: node ids of the suite, at least one of which must catch it.
        edits: the changes of the sources that make the bug.
        survives: cases that must pass all the same, because the guest is renewed after the one that failed.
    """

    id: str
    group: str
    what: str
    expects: tuple[str, ...]
    cases: tuple[str, ...]
    edits: tuple[Edit, ...]
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
    if defect.group not in GROUPS or not defect.cases or not defect.expects or not edits:
        raise KeyError(f"{name}: needs a group, cases, expects and edits")
    return defect


def chosen(defects: tuple[Defect, ...], only: str = "") -> tuple[Defect, ...]:
    """Those of a group or id; all when neither is asked."""
    return tuple(defect for defect in defects if (not only or only in (defect.group, defect.id)))

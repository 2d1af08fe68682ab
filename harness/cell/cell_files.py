"""The names of what a run writes into a cell's folder, and the removal of those files; other files are a person's."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

from harness.errors import UsageError
from harness.files import removal

KEPT = "kept.json"
"""Names of the texts that tests kept in the cell's folder (``Wsk.keep``)."""
DUMPS = "dumps"
"""Folder of the guest's crash dumps, in the cell's folder."""
NAMES = frozenset(
    {
        "capture.pcapng",
        "cell.json",
        "console.log",
        "dhcp.log",
        "domain.xml",
        "dumpcap.log",
        KEPT,
        "operations.jsonl",
        "stacks.log",
        "suite.log",
        "tshark.log",
        "worker.log",
    }
)
_OLDER = frozenset({"random-operations.json"})  # kept by the regression suite before there was a list of kept texts
_UNFINISHED = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}")  # what harness.files.removal.whole had not yet renamed
_DUMP = re.compile(r"host-\d+\.dmp|.+-[0-9a-f]{8}\.tgz|\..+\.tgz")  # as harness.guests.windows.crash names them


def clear(folder: Path) -> None:
    """Remove the files of an earlier run from a cell's folder, but not its dumps.

    Raises:
        RefusedError: a link has the name of such a file, or the folder does not lie in one of the harness.
    """
    for path in _written(folder):
        removal.remove(path)


def remove(cells: Path) -> int:
    """Remove the evidence of a run's cells, and each folder that is empty then; gives how many files went.

    What the system does not let us remove is left, and so is what a link leads to.

    Args:
        cells: absolute path of the run's folder ``cells``.
    """
    count = 0
    for cell in _folders(cells):
        dumps = cell / DUMPS
        held = _files(dumps) if dumps in _folders(cell) else []
        for path in [*(path for path in held if _DUMP.fullmatch(path.name)), *_written(cell)]:
            with contextlib.suppress(removal.RefusedError):
                removal.remove(path, quiet=True)
                count += not os.path.lexists(path)
        for folder in (dumps, cell):
            if not folder.is_symlink() and folder.is_dir():
                removal.remove_empty(folder)
    removal.remove_empty(cells)
    return count


def note_kept(folder: Path, name: str, mine: set[str]) -> Path:
    """The path of a text that a test keeps; the cell's list of such texts has its name then.

    Args:
        folder: of the cell.
        name: as the test gives it.
        mine: names of the texts that this cell has kept so far; gets this one.

    Raises:
        UsageError: it is no plain file name, or a file that is no kept text of this cell has it.
    """
    if not _is_plain(name):
        raise UsageError(f"a text cannot be kept as {name!r}", mend="give a plain file name")
    if name not in mine and (name in NAMES or os.path.lexists(folder / name)):
        raise UsageError(f"a text cannot be kept as {name!r}: the cell's folder has such a file")
    if name not in mine:
        mine.add(name)
        removal.write_whole(folder / KEPT, json.dumps(sorted(mine)) + "\n")
    return folder / name


def _written(folder: Path) -> list[Path]:
    """Files of the folder that a run wrote; the list of kept texts comes last."""
    ours = NAMES | _OLDER | _kept(folder)
    found = []
    for path in _files(folder):
        unfinished = _UNFINISHED.fullmatch(path.name)
        if path.name in ours or (unfinished and unfinished["name"] in ours):
            found.append(path)
    return sorted(found, key=lambda path: path.name == KEPT)


def _kept(folder: Path) -> frozenset[str]:
    try:
        names = json.loads((folder / KEPT).read_text(encoding="utf-8"))
        return frozenset(name for name in names if isinstance(name, str) and _is_plain(name))
    except (OSError, ValueError, TypeError, RecursionError):
        return frozenset()


def _is_plain(name: str) -> bool:
    return name.isprintable() and "/" not in name and not name.startswith(".") and 0 < len(name.encode()) <= 200


def _files(folder: Path) -> list[Path]:
    return [Path(entry) for entry in os.scandir(folder) if not entry.is_dir(follow_symlinks=False)]


def _folders(folder: Path) -> list[Path]:
    return [Path(entry) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]

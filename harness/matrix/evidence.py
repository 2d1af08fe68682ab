"""The files of a run's cells: whether they are what the record says, and a copy of them in another run's folder.

Both take a run that may come from elsewhere: nothing is followed or written through a link, and a copy is a new file
with the owner and mode of any file that this process makes.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from harness.errors import UsageError
from harness.files import digests, inside, removal
from harness.offline import agreement
from harness.results.record import CAPTURE, PLAN, CellResult
from harness.trace.trace_file import read_plan

_AT_ONCE = 1 << 20


def folders(cell: CellResult) -> list[str]:
    """The folders of a cell's attempts, each once: ``cells/NAME``."""
    named = [cell.folder, *(files.folder for files in cell.files)]
    named += [attempt.folder for case in cell.cases for attempt in case.earlier]
    named += [inside.evidence(cell.folder, name).rpartition("/")[0] for name in cell.evidence.values()]
    return list(dict.fromkeys(folder for folder in named if folder))


def doubts(root: Path, cell: CellResult) -> list[str]:
    """What a cell's plan and capture and its record do not agree on, one line each.

    A record of an older version names no digests; its plans are held against its cases where they are there.

    Args:
        root: the run's folder.
        cell: as its record has it.

    Raises:
        UsageError: a plan or a capture is a link.
    """
    found = []
    planned: set[str] = set()
    looked = False
    for files in cell.files:
        for name, digest in ((PLAN, files.plan), (CAPTURE, files.capture)):
            if digest and digests.of_file(root, f"{files.folder}/{name}") != digest:
                path = root / files.folder / name
                what = "is not the file that the run left" if path.exists() else "is not there"
                found.append(f"{files.folder}/{name} {what}")
    for folder in [files.folder for files in cell.files] or folders(cell):
        if not os.path.lexists(root / folder / PLAN):
            continue
        looked = True
        try:
            plan, _ = read_plan(inside.located(root, f"{folder}/{PLAN}"))
        except UsageError as error:
            found.append(error.line())
            continue
        planned |= {step.case for step in plan.steps} | {closing.case for closing in plan.closings}
    statuses = {case.id: str(case.status) for case in cell.cases}
    return found + (agreement.with_record(statuses, planned) if looked else [])


def copy(root: Path, folder: str, output: Path) -> None:
    """Copy a cell's folder into another run's folder.

    Args:
        root: the run's folder.
        folder: ``cells/NAME``.
        output: the other run's folder, which exists.

    Raises:
        UsageError: one of the files is a link or no regular file, or a folder of the output is a link.
        RefusedError: something else than a plain file has the name of one of the copies.
    """
    for path in inside.files(root, folder):
        target = output
        for part in path.split("/")[:-1]:
            target = target / part
            _make_folder(target)
        with inside.opened(root, path) as source, removal.whole(target / path.rpartition("/")[2]) as file:
            shutil.copyfileobj(source, file, _AT_ONCE)


def require_copyable(root: Path, folder: str, free: int) -> int:
    """See that a cell's folder can be copied; gives its bytes.

    Raises:
        UsageError: one of its files is a link or no regular file, or there are more bytes than ``free``.
    """
    if not stat.S_ISDIR((root / folder).lstat().st_mode):
        raise UsageError(f"{root / folder} is not a folder (links are not followed)")
    size = sum((root / path).lstat().st_size for path in inside.files(root, folder))
    if size > free:
        raise UsageError(f"{root / folder} holds {size} bytes, more than the {free} that are free for the merged run")
    return size


def free_bytes(folder: Path) -> int:
    """Bytes that are free where a folder is, or will be."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _make_folder(path: Path) -> None:
    path.mkdir(exist_ok=True)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise UsageError(f"{path} is a link, through which nothing is written", mend="name another folder with -o")

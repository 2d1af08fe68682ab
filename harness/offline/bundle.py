"""A run's folder in one file, and its verdicts made again from files with today's model.

A verdict made again counts only when plan, capture and record agree: each cell of the record must have its files, the
files must be those that the run left, and all three must speak of the same cases.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UsageError
from harness.files import digests, inside, ownership, removal
from harness.offline import agreement, recorded, sources
from harness.offline.recorded import RecordedCell, RecordedRun
from harness.offline.sources import Source
from harness.offline.verify import FileVerdict, Reader, verify
from harness.results.record import CAPTURE, FILE_NAME, PLAN, CellFiles, CellResult
from harness.results.status import worst
from harness.trace.trace_file import read_plan
from harness.verify.verdict import Status


@dataclass(frozen=True, slots=True)
class Change:
    """A case whose status is not what the run said."""

    case: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """A cell judged again; of a cell that was run again each attempt is one.

    Args:
        cell: its name, as its folder's.
        verdict: today's verdict on its files; ``None`` when it could not be made.
        status: today's status, with all doubts.
        reason: of the status.
        changes: cases whose status differs from the run's.
        doubts: what plan, capture and record do not agree on, one line each.
        notes: what a person should know besides, one line each.
    """

    cell: str
    verdict: FileVerdict | None
    status: Status
    reason: str = ""
    changes: tuple[Change, ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def pack(folder: Path, target: Path | None = None) -> Path:
    """Pack a run's folder into one file; gives its path (beside the folder by default).

    Raises:
        UsageError: the folder holds no run, a file that a bundle may not hold, or the bundle cannot be written.
    """
    if not any(folder.glob(f"cells/*/{PLAN}")):
        raise UsageError(f"{folder} holds no cells/*/{PLAN}", mend="name a folder that `harness run` wrote")
    target = target or folder.with_name(f"{folder.resolve().name}.zip")
    if os.path.lexists(target) and not _is_bundle(target):
        raise UsageError(f"{target} is no bundle that the harness made", mend="name another file with -o")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    for path in files:
        inside.located(folder, path.relative_to(folder).as_posix())
    try:
        with (
            removal.whole(target) as made,
            zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
        ):
            for path in files:
                if os.path.realpath(path) != os.path.realpath(target) and path.name != ownership.MARKER:
                    _require_fits(path)
                    archive.write(path, path.relative_to(folder).as_posix())
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}") from None
    return target


def _require_fits(path: Path) -> None:
    """See that a bundle with this file will be taken back: a large plan or capture is refused there."""
    if path.name in (PLAN, CAPTURE) and (size := path.stat().st_size) > sources.LARGEST_MEMBER:
        limit = f"the {sources.LARGEST_MEMBER >> 20} MiB that are unpacked of a bundle"
        raise UsageError(f"{path} has {size} bytes, more than {limit}", mend="keep the folder as it is, or use tar")


def _is_bundle(path: Path) -> bool:
    """Whether the file is one that ``pack`` wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            return not path.is_symlink() and any(name.endswith(f"/{PLAN}") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        return False


def replay(source: Path, reader: Reader = Reader.AUTO) -> Iterator[Replayed]:
    """Judge every cell of a run again, from its folder or from its file.

    Raises:
        UsageError: there is no run, or the file is damaged.
    """
    with sources.opened(source) as run:
        folders = run.cells()
        content = run.record()
        if not folders and (content is None or not source.is_dir()):
            raise UsageError(f"{source} holds no cells/*/{PLAN}", mend="name a folder that `harness run` wrote")
        if content is None:
            yield _doubtful(FILE_NAME, "there is no record: nothing says which cells and cases the run had")
            for folder in folders:
                yield _judge(_name(folder), run.cell(folder), reader)
            return
        record = recorded.parsed(content, f"{FILE_NAME} of {source}")
        if record.unfinished:
            yield _doubtful(FILE_NAME, record.unfinished)
        for cell in record.cells:
            yield from _cell(run, cell, folders, reader)
        known = {files.folder for cell in record.cells for files in cell.attempts}
        for folder in folders:
            if folder not in known:
                yield _unknown(folder, run.cell(folder), record)


def differing(folder: Path, result: CellResult) -> str:
    """Where a cell's files alone say otherwise of a case than its run did, in one line; empty when they agree.

    Args:
        folder: of the cell.
        result: what the run said.
    """
    statuses = {case.id: str(case.status) for case in result.cases}
    again = _judge(folder.name, folder, Reader.AUTO, statuses)
    sure = result.status in (Status.PASSED, Status.FAILED)
    if again.verdict is None:  # of a run that was sure of something there must be files
        return again.reason if sure else ""
    if changes := again.changes:
        first = changes[0]
        why = next(part.verdict.reason for part in again.verdict.parts if part.case == first.case)
        return f"the files alone say {first.now} of {first.case}, the run {first.was}: {why or 'nothing is wrong'}"
    left = statuses.keys() - {part.case for part in again.verdict.parts}
    if left:
        return f"the plan says nothing of {min(left)}"
    return again.verdict.doubts[0] if again.verdict.doubts and sure else ""


def worst_of(cells: list[Replayed]) -> Status:
    """The status of a whole replay."""
    return worst(cell.status for cell in cells)


def _cell(
    run: Source, cell: RecordedCell, present: Mapping[str, Collection[str]], reader: Reader
) -> Iterator[Replayed]:
    """The attempts at a cell, oldest first: a case counts where it was judged last."""
    whole = {files.folder for files in cell.attempts if _is_whole(files, cell, present)}
    if not whole:
        where = f", and {cell.attempts[0].folder} is not there" if cell.attempts else ""
        why = f": {cell.reason}" if cell.reason else ""
        yield _doubtful(
            cell.name, f"the record says {cell.status or 'nothing'}, with no files to judge again{where}{why}"
        )
        return
    made: list[Replayed] = []
    planned: set[str] = set()
    for files in reversed(cell.attempts):
        name = _name(files.folder)
        if files.folder not in whole:
            made.append(Replayed(name, None, Status.SKIPPED, "this attempt left no capture: the cell was run again"))
        elif files.folder not in present:
            made.append(_doubtful(name, f"{files.folder}, which the record names, is not there"))
        else:
            again = _attempt(run.cell(files.folder), files, cell, planned, reader)
            made.append(again)
            if again.verdict is not None:
                planned |= {part.case for part in again.verdict.parts}
    made.reverse()
    yield _with_doubts(made[0], agreement.with_record(cell.statuses, planned))
    yield from made[1:]


def _is_whole(files: CellFiles, cell: RecordedCell, present: Mapping[str, Collection[str]]) -> bool:
    """Whether an attempt left both files: by the digests of the record, or else by what is there."""
    if cell.digested:
        return bool(files.plan and files.capture)
    return {PLAN, CAPTURE} <= set(present.get(files.folder, ()))


def _attempt(place: Path, files: CellFiles, cell: RecordedCell, later: Collection[str], reader: Reader) -> Replayed:
    """One attempt; ``later`` are the cases that an attempt after it has, which take nothing from this one."""
    name = _name(files.folder)
    statuses = {**cell.statuses, **cell.earlier.get(files.folder, {})}
    again = _judge(name, place, reader, statuses, superseded=later)
    if again.verdict is not None and not again.verdict.about["markers"]:
        again = _changed(again, ["the capture holds no markers, which every capture of a run does"])
    if cell.digested:
        return _changed(again, _edited(place, files))
    return _with_notes(again, agreement.UNPROVEN)


def _edited(place: Path, files: CellFiles) -> list[str]:
    """Which of an attempt's files are not what the run left."""
    pairs = ((PLAN, files.plan), (CAPTURE, files.capture))
    wrong = [name for name, digest in pairs if digests.of_file(place, name) != digest]
    return [f"{name} is not the file that the run left: the record holds another SHA-256 digest" for name in wrong]


def _judge(
    name: str,
    place: Path,
    reader: Reader,
    statuses: Mapping[str, str] | None = None,
    superseded: Collection[str] = (),
) -> Replayed:
    """The verdict on the files in a folder.

    Args:
        name: of the cell.
        place: holds plan and capture.
        reader: who reads the frames.
        statuses: what the run said of each case.
        superseded: cases that a later attempt judged.
    """
    try:
        verdict = verify(place / CAPTURE, place / PLAN, reader)
    except UsageError as error:
        return _doubtful(name, error.line())
    said = statuses or {}
    changes = tuple(
        Change(part.case, said[part.case], part.verdict.status.value)
        for part in verdict.parts
        if part.case in said and said[part.case] != part.verdict.status.value
    )
    if not superseded:
        return Replayed(name, verdict, verdict.status, verdict.reason, changes, verdict.doubts)
    rest = [part.verdict for part in verdict.parts if part.case not in superseded]
    if not rest:
        return Replayed(name, verdict, Status.SKIPPED, "every case of it was run again", changes)
    status = worst([*(each.status for each in rest), *(Status.INCONCLUSIVE for _ in verdict.doubts[:1])])
    reason = next((each.reason for each in rest if each.status is status), "".join(verdict.doubts[:1]))
    return Replayed(name, verdict, status, reason, changes, verdict.doubts)


def _unknown(folder: str, place: Path, record: RecordedRun) -> Replayed:
    """A folder that belongs to no cell of the record: left by another run in the same folder, or struck out of it."""
    name = _name(folder)
    try:
        other = read_plan(place / PLAN)[0].header.run
    except UsageError:
        other = ""
    if other and other != record.id and not record.id.endswith("-merged"):
        return Replayed(name, None, Status.SKIPPED, f"left there by another run, {other}")
    return _doubtful(name, "the record has no such cell")


def _doubtful(name: str, doubt: str) -> Replayed:
    return Replayed(name, None, Status.INCONCLUSIVE, doubt, doubts=(doubt,))


def _with_doubts(again: Replayed, doubts: list[str]) -> Replayed:
    """The same with more doubts, which leave no pass."""
    if not doubts:
        return again
    status = worst((again.status, Status.INCONCLUSIVE))
    reason = again.reason if again.status is status and again.reason else doubts[0]
    return replace(again, status=status, reason=reason, doubts=(*again.doubts, *doubts))


def _changed(again: Replayed, doubts: list[str]) -> Replayed:
    """The same of files that were changed after the run: nothing that they show speaks against the driver."""
    return _with_doubts(replace(again, status=Status.INCONCLUSIVE, reason=doubts[0]), doubts) if doubts else again


def _with_notes(again: Replayed, *notes: str) -> Replayed:
    return replace(again, notes=(*again.notes, *notes))


def _name(folder: str) -> str:
    return folder.removeprefix(f"{inside.CELLS}/")

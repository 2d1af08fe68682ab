"""Packs a run's folder into one file (a bundle), and judges a run again from its files with today's model (a replay).

A replayed verdict counts only if plan, capture and record agree: each cell of the record must have its files, the
files must be those that the run left, and all three must hold the same cases.
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
    """A case whose status in the replay differs from its status in the run."""

    case: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """The replay of one attempt at a cell.

    Args:
        cell: the name of the attempt's folder, or another name for a part of the run without a folder.
        verdict: today's verdict on the attempt's files; ``None`` if the files could not be judged.
        status: today's status, with all doubts.
        reason: reason for the status.
        changes: cases whose status differs from the run's.
        doubts: differences between plan, capture and record, one line each.
        notes: remarks for the reader that do not change the status, one line each.
    """

    cell: str
    verdict: FileVerdict | None
    status: Status
    reason: str = ""
    changes: tuple[Change, ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def pack(folder: Path, target: Path | None = None) -> Path:
    """Pack a run's folder into one file and return the file's path (by default beside the folder).

    Raises:
        UsageError: the folder holds no run, or a file that a bundle may not hold; or the bundle cannot be written, or
            would replace a file that is no bundle.
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
    """Refuse a plan or capture that is too large to be unpacked from a bundle again."""
    if path.name in (PLAN, CAPTURE) and (size := path.stat().st_size) > sources.LARGEST_MEMBER:
        limit = f"the {sources.LARGEST_MEMBER >> 20} MiB that are unpacked of a bundle"
        raise UsageError(f"{path} has {size} bytes, more than {limit}", mend="keep the folder as it is, or use tar")


def _is_bundle(path: Path) -> bool:
    """True if the file is a zip archive with a plan in it, as ``pack`` writes them, and no link."""
    try:
        with zipfile.ZipFile(path) as archive:
            return not path.is_symlink() and any(name.endswith(f"/{PLAN}") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        return False


def replay(source: Path, reader: Reader = Reader.AUTO) -> Iterator[Replayed]:
    """Judge every cell of a run again, from the run's folder or from its bundle.

    Raises:
        UsageError: the source holds no run, or the bundle is damaged.
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
    """Judge a cell from its files, and name in one line the first difference from the run; empty if both agree.

    Args:
        folder: the cell's folder.
        result: the run's verdict on the cell.
    """
    statuses = {case.id: str(case.status) for case in result.cases}
    again = _judge(folder.name, folder, Reader.AUTO, statuses)
    sure = result.status in (Status.PASSED, Status.FAILED)
    if again.verdict is None:  # a cell that passed or failed must have left files
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
    """Return the status of a whole replay: the worst of its cells."""
    return worst(cell.status for cell in cells)


def _cell(
    run: Source, cell: RecordedCell, present: Mapping[str, Collection[str]], reader: Reader
) -> Iterator[Replayed]:
    """Replay the attempts at a cell, oldest first; each case counts only in the last attempt that has it."""
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
    """True if an attempt left both files, according to the record's digests or, without digests, to the folder."""
    if cell.digested:
        return bool(files.plan and files.capture)
    return {PLAN, CAPTURE} <= set(present.get(files.folder, ()))


def _attempt(place: Path, files: CellFiles, cell: RecordedCell, later: Collection[str], reader: Reader) -> Replayed:
    """Replay one attempt; its verdicts on the cases in ``later`` do not count, since a later attempt has them."""
    name = _name(files.folder)
    statuses = {**cell.statuses, **cell.earlier.get(files.folder, {})}
    again = _judge(name, place, reader, statuses, superseded=later)
    if again.verdict is not None and not again.verdict.about["markers"]:
        again = _changed(again, ["the capture holds no markers, which every capture of a run does"])
    if cell.digested:
        return _changed(again, _edited(place, files))
    return _with_notes(again, agreement.UNPROVEN)


def _edited(place: Path, files: CellFiles) -> list[str]:
    """List the attempt's files whose SHA-256 digests differ from those in the record."""
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
    """Judge the files in a folder.

    Args:
        name: name of the result's cell.
        place: the folder that holds plan and capture.
        reader: the reader of the frames.
        statuses: the run's status of each case.
        superseded: cases that a later attempt judged; they do not count here.
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
    """Report a folder that no cell of the record has: another run left it, or somebody removed its cell."""
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
    """Add doubts to a replay; with any doubt it can no longer pass."""
    if not doubts:
        return again
    status = worst((again.status, Status.INCONCLUSIVE))
    reason = again.reason if again.status is status and again.reason else doubts[0]
    return replace(again, status=status, reason=reason, doubts=(*again.doubts, *doubts))


def _changed(again: Replayed, doubts: list[str]) -> Replayed:
    """Mark a replay as inconclusive because its files were changed after the run, so not even a failure holds."""
    return _with_doubts(replace(again, status=Status.INCONCLUSIVE, reason=doubts[0]), doubts) if doubts else again


def _with_notes(again: Replayed, *notes: str) -> Replayed:
    return replace(again, notes=(*again.notes, *notes))


def _name(folder: str) -> str:
    return folder.removeprefix(f"{inside.CELLS}/")

"""A run's folder in one file, and its verdicts made again from it with today's model.

The file is a zip archive of the folder. Nothing of it is unpacked but captures and plans, under names of our own in a
temporary folder, so an archive from elsewhere cannot write where it likes.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import UsageError
from harness.offline.verify import FileVerdict, Reader, verify
from harness.report.results import CellResult
from harness.report.status import worst
from harness.verify.verdict import Status

RESULTS, PLAN, CAPTURE = "results.json", "operations.jsonl", "capture.pcapng"
_LARGEST = 1 << 36
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Change:
    """A case whose status is not what the run said."""

    case: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """A cell judged again.

    Args:
        cell: its name, as its folder's.
        verdict: today's verdict; ``None`` when it could not be made.
        reason: why it could not.
        changes: cases whose status differs from the run's.
    """

    cell: str
    verdict: FileVerdict | None
    reason: str = ""
    changes: tuple[Change, ...] = ()

    @property
    def status(self) -> Status:
        """Today's status."""
        return self.verdict.status if self.verdict is not None else Status.INCONCLUSIVE


def pack(folder: Path, target: Path | None = None) -> Path:
    """Pack a run's folder into one file; gives its path (beside the folder by default).

    Raises:
        UsageError: the folder holds no run, or the file cannot be written.
    """
    cells = sorted(folder.glob(f"cells/*/{PLAN}"))
    if not cells:
        raise UsageError(f"{folder} holds no cells/*/{PLAN}", mend="name a folder that `harness run` wrote")
    target = target or folder.with_name(f"{folder.resolve().name}.zip")
    partial = target.with_name(f".{target.name}.part")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and not path.is_symlink() and path.resolve() != target.resolve():
                    archive.write(path, path.relative_to(folder).as_posix())
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(f"cannot write {target}: {error.strerror or error}") from None
    return target


def replay(source: Path, reader: Reader = Reader.AUTO) -> Iterator[Replayed]:
    """Judge every cell of a run again, from its folder or from its file.

    Raises:
        UsageError: there is no run, or the file is damaged.
    """
    if source.is_dir():
        recorded = _statuses(_read_json(source / RESULTS))
        plans = sorted(source.glob(f"cells/*/{PLAN}"))
        if not plans:
            raise UsageError(f"{source} holds no cells/*/{PLAN}", mend="name a folder that `harness run` wrote")
        for plan in plans:
            cell = plan.parent.name
            yield _judge(cell, plan.parent / CAPTURE, plan, recorded.get(cell, {}), reader)
        return
    try:
        with zipfile.ZipFile(source) as archive, tempfile.TemporaryDirectory(prefix="harness-replay-") as scratch:
            yield from _archive(archive, Path(scratch), source, reader)
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise UsageError(
            f"{source} is no sound bundle: {error}", mend="make one with `harness replay --pack`"
        ) from None


def differing(folder: Path, result: CellResult) -> str:
    """Where a cell's files alone say otherwise of a case than its run did, in one line; empty when they agree.

    Args:
        folder: of the cell.
        result: what the run said.
    """
    recorded = {case.id: str(case.status) for case in result.cases}
    again = _judge(folder.name, folder / CAPTURE, folder / PLAN, recorded, Reader.AUTO)
    if again.verdict is None:  # of a run that was sure of something there must be files
        return again.reason if result.status in (Status.PASSED, Status.FAILED) else ""
    if changes := again.changes:
        first = changes[0]
        why = next(part.verdict.reason for part in again.verdict.parts if part.case == first.case)
        return f"the files alone say {first.now} of {first.case}, the run {first.was}: {why or 'nothing is wrong'}"
    left = recorded.keys() - {part.case for part in again.verdict.parts}
    return f"the plan says nothing of {min(left)}" if left else ""


def worst_of(cells: list[Replayed]) -> Status:
    """The status of a whole replay."""
    return worst(cell.status for cell in cells)


def _archive(archive: zipfile.ZipFile, scratch: Path, source: Path, reader: Reader) -> Iterator[Replayed]:
    names = set(archive.namelist())
    recorded = _statuses(json.loads(archive.read(RESULTS)) if RESULTS in names else {})
    cells = sorted({str(PurePosixPath(name).parent) for name in names if PurePosixPath(name).name == PLAN})
    if not cells:
        raise UsageError(f"{source} holds no {PLAN}", mend="make a bundle with `harness replay --pack`")
    for folder in cells:
        plan, capture = scratch / PLAN, scratch / CAPTURE
        capture.unlink(missing_ok=True)
        for name, target in ((PLAN, plan), (CAPTURE, capture)):
            member = str(PurePosixPath(folder) / name)
            if member in names:
                _extract(archive, member, target)
        cell = PurePosixPath(folder).name
        yield _judge(cell, capture, plan, recorded.get(cell, {}), reader)


def _extract(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    size = archive.getinfo(member).file_size
    if size > min(_LARGEST, shutil.disk_usage(target.parent).free):
        raise UsageError(f"{member} of the bundle says that it is {size} bytes long, more than there is room for")
    with archive.open(member) as file, target.open("wb") as out:
        shutil.copyfileobj(file, out, 1 << 20)


def _judge(cell: str, capture: Path, plan: Path, recorded: dict[str, str], reader: Reader) -> Replayed:
    try:
        verdict = verify(capture, plan, reader)
    except UsageError as error:
        return Replayed(cell, None, error.line())
    changes = tuple(
        Change(part.case, recorded[part.case], part.verdict.status.value)
        for part in verdict.parts
        if part.case in recorded and recorded[part.case] != part.verdict.status.value
    )
    return Replayed(cell, verdict, verdict.reason, changes)


def _read_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}


def _statuses(results: Any) -> dict[str, dict[str, str]]:  # noqa: ANN401 - whatever the file holds
    """Statuses by cell folder and case, as far as the record can be read."""
    out: dict[str, dict[str, str]] = {}
    try:
        for cell in results.get("cells", []):
            cases = {str(case["id"]): str(case["status"]) for case in cell.get("cases", [])}
            out[f"{cell['guest']}--{cell['nic']}"] = cases
    except (AttributeError, KeyError, TypeError):
        return out
    return out

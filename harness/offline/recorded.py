"""Reads from a run's record what a replay compares with the run's files.

The record may come from an untrusted source or an older version, so only the needed fields are read, and all are
checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UsageError
from harness.files import inside
from harness.results import reading
from harness.results.record import SCHEMA, CellFiles
from harness.verify.verdict import Status

_RETRIES = ("retry", "first attempt")
"""Evidence by which older records name the other attempt's folder."""


@dataclass(frozen=True, slots=True)
class RecordedCell:
    """One cell of a record.

    Args:
        name: "GUEST--NIC", for people.
        status, reason: of the cell, as the record has them.
        attempts: the folders of its attempts with their digests, oldest first; digests are empty in older records.
        statuses: the last status of each case.
        earlier: statuses of cases in earlier attempts, by folder.
    """

    name: str
    status: str
    reason: str
    attempts: tuple[CellFiles, ...]
    statuses: dict[str, str] = field(default_factory=dict)
    earlier: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def digested(self) -> bool:
        """True if the record holds a digest of any of the cell's files."""
        return any(files.plan or files.capture for files in self.attempts)


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run's record.

    Args:
        id: of the run; empty if the record has none.
        unfinished: why cells may be missing; empty if the run came to its end.
        cells: the cells that were not skipped, or have cases.
    """

    id: str
    unfinished: str
    cells: tuple[RecordedCell, ...]


def parsed(content: bytes, where: object) -> RecordedRun:
    """Parse the bytes of a ``results.json``; ``where`` is its name in errors.

    Raises:
        UsageError: the bytes are no record, or the record names a folder outside the run's folder.
    """
    value = reading.parsed(content, where)
    try:
        if value.get("schema") != SCHEMA:
            raise UsageError(f"{where} is not a record of schema {SCHEMA}")
        run = value.get("run", {})
        unfinished = ""
        if "run" in value and (not run.get("ended") or run.get("interrupted")):
            unfinished = "the run did not come to its end: cells and cases may be missing"
        cells = [_cell(cell) for cell in value["cells"] if cell.get("cases") or cell.get("status") != Status.SKIPPED]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{where} is not a record of a run: {type(error).__name__}: {error}") from None
    for cell in cells:
        for files in cell.attempts:
            if not inside.is_cell_folder(files.folder):
                raise UsageError(f"{where} names the folder {files.folder!r}; a cell's folder is cells/NAME")
    return RecordedRun(str(run.get("id", "")), unfinished, tuple(cells))


def _cell(value: dict[str, Any]) -> RecordedCell:
    cases = list(value.get("cases", ()))
    parts = [str(value["guest"]), str(value["nic"])]
    earlier: dict[str, dict[str, str]] = {}
    for case in cases:
        for attempt in case.get("earlier", ()):
            earlier.setdefault(str(attempt.get("folder", "")), {})[str(case["id"])] = str(attempt["status"])
    return RecordedCell(
        name="--".join(parts),
        status=str(value.get("status", "")),
        reason=str(value.get("reason", "")),
        attempts=tuple(_attempts(value, "--".join(parts), [folder for folder in earlier if folder])),
        statuses={str(case["id"]): str(case["status"]) for case in cases},
        earlier=earlier,
    )


def _attempts(value: dict[str, Any], name: str, earlier: list[str]) -> Iterator[CellFiles]:
    """List the cell's attempts, oldest first, from the record's ``files`` or, in older records, from other fields."""
    listed = value.get("files", ())
    if listed:
        for each in listed:
            yield CellFiles(str(each["folder"]), str(each.get("plan", "")), str(each.get("capture", "")))
        return
    if not value.get("folder") and not value.get("cases"):
        return
    folder = str(value.get("folder") or f"{inside.CELLS}/{name}")
    named = {key: inside.evidence(folder, str(value.get("evidence", {}).get(key, ""))) for key in _RETRIES}
    before = [*earlier, named["first attempt"].rpartition("/")[0]]
    after = [named["retry"].rpartition("/")[0]]
    order = dict.fromkeys([*(each for each in before if each != folder), folder, *after])
    yield from (CellFiles(each) for each in order if each)

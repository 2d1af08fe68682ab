"""Faults of a run's files: what was struck out, cut, changed or put there by a stranger must be said, and never pass.

One cell of the clean driver is run. Each fault damages a copy of its folder and gives it to ``replay`` or ``merge``, as
a person would; beside the copy lies a file that neither may touch or copy.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, UsageError
from harness.matrix import merge
from harness.offline import bundle
from harness.results.record import CAPTURE, FILE_NAME, PLAN, Results, RunInfo, write
from harness.results.status import Status, worst
from harness.selftest.defects.faults import CASE
from harness.selftest.defects.judge import Row

if TYPE_CHECKING:
    from harness.selftest.defects.run import Runner

GROUP = "F"
SECRET = "what a stranger may not read"
_CELL = "files"


@dataclass(frozen=True, slots=True)
class FileFault:
    """A fault of a run's files.

    Args:
        id: its name.
        what: what was done to them.
        damage: does it to a run's folder; the cell's folder is ``cells/files`` in it.
        command: "replay", "bundle" (a replay of the packed run) or "merge".
        expects: what the command must say.
        refused: the command must refuse the run as a whole; else it is to judge it inconclusive.
    """

    id: str
    what: str
    damage: Callable[[Path], None]
    command: str
    expects: str
    refused: bool = False


def _cell(run: Path) -> Path:
    return run / "cells" / _CELL


def _without_the_case(run: Path) -> None:
    path = _cell(run) / PLAN
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if CASE.partition("::")[2] not in line]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _cut_plan(run: Path) -> None:
    path = _cell(run) / PLAN
    path.write_bytes(path.read_bytes()[:-100])


def _flip_a_byte(run: Path) -> None:
    path = _cell(run) / CAPTURE
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _edit_record(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        value = json.loads((run / FILE_NAME).read_text(encoding="utf-8"))
        change(value)
        (run / FILE_NAME).write_text(json.dumps(value), encoding="utf-8")

    return damage


def _link_the_console(run: Path) -> None:
    (_cell(run) / "stranger.log").symlink_to(run.parent / "secret")


def _elsewhere(value: dict[str, Any]) -> None:
    value["cells"][0].update(folder="sub/../../secret", files=[])


FAULTS = (
    FileFault("case-struck-out", "a case's lines are taken out of the plan", _without_the_case, "replay",
              "of which the plan says nothing"),
    FileFault("case-struck-out-of-bundle", "the same, in a bundle", _without_the_case, "bundle",
              "of which the plan says nothing"),
    FileFault("case-struck-out-of-shard", "the same, in a shard", _without_the_case, "merge",
              "of which the plan says nothing"),
    FileFault("case-struck-out-of-record", "a case is taken out of the record",
              _edit_record(lambda value: value["cells"][0]["cases"].clear()), "replay",
              "of which the record says nothing"),
    FileFault("cell-struck-out-of-record", "a cell is taken out of the record",
              _edit_record(lambda value: value["cells"].clear()), "replay", "the record has no such cell"),
    FileFault("plan-cut", "the plan loses its end", _cut_plan, "replay", "the plan has no last line"),
    FileFault("capture-changed", "a byte of the capture is another one", _flip_a_byte, "replay",
              "capture.pcapng is not the file that the run left"),
    FileFault("folder-elsewhere", "the record names a folder outside of the run", _edit_record(_elsewhere), "merge",
              "names the folder 'sub/../../secret'", refused=True),
    FileFault("evidence-linked", "a file of the cell is a link to a file elsewhere", _link_the_console, "merge",
              "is a link, which is not followed", refused=True),
)  # fmt: skip


def chosen(only: str = "") -> tuple[FileFault, ...]:
    """Those of that id, or all of the group; all when neither is asked."""
    return tuple(fault for fault in FAULTS if only in ("", GROUP, fault.id))


class CleanRun:
    """The run that is damaged: one cell, run when the first fault asks for it."""

    def __init__(self, runner: Runner, folder: Path) -> None:
        self._runner = runner
        self._folder = folder
        self._lock = threading.Lock()

    def copy(self, name: str) -> Path:
        """A run's folder of its own, with a stranger's secret beside it."""
        with self._lock:
            source = self._folder / "clean"
            if not source.exists():
                job = self._runner.job(_CELL, self._runner.driver, (CASE,))
                result = self._runner.cell(job)
                source.mkdir(parents=True)
                shutil.copytree(job.folder, _cell(source))
                write(Results(RunInfo(job.run_id, "", "ended"), (result,)), source)
        target = self._folder / name / "run"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target)
        (target.parent / "secret").write_text(SECRET, encoding="utf-8")
        return target


def run(fault: FileFault, clean: CleanRun, tell: Callable[[Row], None]) -> Row:
    """Damage a copy of the run and judge what the command says of it; the row is told when it is there."""
    started = time.monotonic()
    why, said = "", ""
    place = clean.copy(fault.id)
    try:
        if (status := _carried_out(fault.command, place, "before")[0]) is not Status.PASSED:
            why = f"the run is {status} before it is damaged"
        fault.damage(place)
        status, said = _carried_out(fault.command, place, "after")
        if status is not Status.INCONCLUSIVE or fault.refused:
            why = why or f"{status}, and not {'refused' if fault.refused else 'inconclusive'}"
    except UsageError as error:
        said = error.line()
        why = "" if fault.refused else "refused"
    except HarnessError as error:
        said = why = error.line()
    if fault.expects not in said:
        why = why or "named wrongly"
    if _leaked(place.parent):
        why = "a file elsewhere was copied"
    took = round(time.monotonic() - started, 1)
    row = Row(fault.id, GROUP, fault.what, fault.expects, said, fault.command, took, caught=not why, why=why)
    tell(row)
    return row


def _carried_out(command: str, run: Path, name: str) -> tuple[Status, str]:
    """Status and words of a command on a run's folder."""
    if command == "merge":
        results = merge.merge([run], run.parent / name)
        return results.status, "; ".join(cell.reason for cell in results.cells)
    source = bundle.pack(run, run.parent / f"{name}.zip") if command == "bundle" else run
    cells = list(bundle.replay(source))
    lines = [line for cell in cells for line in (cell.reason, *cell.doubts) if line]
    return worst(cell.status for cell in cells), "; ".join(dict.fromkeys(lines))


def _leaked(place: Path) -> bool:
    """Whether a copy of the stranger's file was made in a merged run."""
    files = [path for path in (place / "after").rglob("*") if path.is_file()]
    return any(path.is_symlink() or SECRET.encode() in path.read_bytes() for path in files)

"""``harness defects``: runs every known bug as a cell of its own, and the clean driver over the same cases."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness import resources
from harness.cell.job import Cell, CellJob
from harness.driver_build.edited import Objects, build
from harness.errors import HarnessError, UsageError
from harness.files import ownership, removal
from harness.guests import catalogue
from harness.matrix.run import CellProcess, Observer
from harness.offline.bundle import differing
from harness.results.record import CellResult
from harness.results.status import Status
from harness.selftest.defects import table
from harness.selftest.defects.judge import Row, judge
from harness.selftest.defects.table import Defect

SCHEMA = 1
CELL = Cell("wine", "virtio-net")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Record:
    """What a run over all defects says.

    Args:
        rows: one for each defect and fault.
        clean: the clean driver over all cases that the defects need.
        seconds: for everything.
    """

    rows: tuple[Row, ...]
    clean: dict[str, Any]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether every one was caught by its name and the clean driver was clean."""
        clean = self.clean["status"] == Status.PASSED and not self.clean["wrong"]
        return clean and all(row.caught for row in self.rows)

    def to_json(self) -> str:
        """Return the value that ``harness defects --json`` prints, with what explains a miss."""
        value = {
            "schema": SCHEMA,
            "defects": [asdict(row) for row in self.rows],
            "clean": self.clean,
            "seconds": self.seconds,
        }
        return json.dumps(value, indent=1) + "\n"


class Runner:
    """Runs defects as cells in a folder.

    Args:
        folder: where each leaves its evidence.
        say: takes lines of progress.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        from harness.driver_build import build as drivers

        self._folder = folder
        self._say = say
        self._image = catalogue.prepare_guest(CELL.guest, say)
        self._clean = drivers.build()
        self._run_id = f"defects-{os.getpid()}"

    def job(self, name: str, driver: Path, cases: Iterable[str], nic: str = CELL.nic, **more: Any) -> CellJob:  # noqa: ANN401
        """The job of one cell."""
        folder = self._folder / "cells" / name
        folder.mkdir(parents=True, exist_ok=True)
        built = self._clean
        return CellJob(
            replace(CELL, nic=nic),
            self._run_id,
            folder,
            self._image,
            driver,
            built.wskctl_exe,
            verifier=built.verifier_sys,
            suite=tuple(_path(case) for case in cases),
            passing=True,
            **more,
        )

    @property
    def driver(self) -> Path:
        """The clean driver."""
        return self._clean.wsksend_sys

    @property
    def cached(self) -> tuple[Path, ...]:
        """Folders of the cache that a run with the clean driver uses, besides saved guests."""
        from harness.guests.wine import wine_image

        return self._clean.wsksend_sys.parent, wine_image.load(self._image).kernel.parent

    def tell(self, row: Row) -> None:
        """A line of progress."""
        self._say(f"{row.id}: {'caught' if row.caught else f'NOT CAUGHT ({row.why})'}, {row.verdict} ({row.seconds} s)")

    def clean(self, cases: Iterable[str]) -> dict[str, Any]:
        """The clean driver over all cases."""
        started = time.monotonic()
        job = self.job("clean", self._clean.wsksend_sys, cases)
        result = self.cell(job)
        wrong = [f"{case.id}: {case.reason}" for case in result.cases if case.status is not Status.PASSED]
        self._say(f"clean driver: {result.status}, {len(result.cases)} cases")
        return {
            "status": str(result.status),
            "cases": len(result.cases),
            "wrong": wrong or [line for line in (result.reason or differing(job.folder, result),) if line],
            "seconds": round(time.monotonic() - started, 1),
        }

    def defect(self, defect: Defect, objects: Objects) -> Row:
        """Build, run and judge one defect."""
        started = time.monotonic()
        try:
            driver = build(defect.edits, objects, self._folder / "drivers" / defect.id)
            job = self.job(defect.id, driver, defect.cases)
            result = self.cell(job)
            row = self.agreeing(judge(defect, result, time.monotonic() - started), job, result)
        except HarnessError as error:
            expected = " or ".join(defect.expects)
            took = round(time.monotonic() - started, 1)
            row = Row(defect.id, defect.group, defect.what, expected, "", "", took, caught=False, why=error.line())
        self.tell(row)
        return row

    @staticmethod
    def agreeing(row: Row, job: CellJob, result: CellResult) -> Row:
        """The row, not caught where the cell's files alone say otherwise than its run did."""
        words = differing(job.folder, result) if row.caught else ""
        return replace(row, caught=False, why=words) if words else row

    def cell(self, job: CellJob, observer: Observer = lambda _cell, _event: None) -> CellResult:
        """Run one cell to its end."""
        return CellProcess(job, observer).run()


def _path(case: str) -> Path:
    own = resources.root() / table.FOLDER
    name = case.split("::", 1)[0]
    return (own if (own / name).is_file() else resources.suite()) / case


def run(only: str, folder: Path, say: Say, *, jobs: int = 1) -> Record:
    """Run the clean driver, then the chosen defects, then the faults of wire, lab, files and cache.

    Args:
        only: a group or an id; empty runs all.
        folder: takes the evidence and ``defects.json``.
        say: takes lines of progress.
        jobs: cells at the same time.

    Raises:
        UsageError: nothing of that name.
        HarnessError: neither driver nor image can be built.
    """
    from harness.selftest.defects import cached, faults, file_faults

    defects = table.chosen(table.load(), only)
    wanted = faults.chosen(only)
    of_files = file_faults.chosen(only)
    of_cache = cached.chosen(only)
    if not defects and not wanted and not of_files and not of_cache:
        raise UsageError(f"no defect or group {only!r}", mend=f"groups are {', '.join(table.GROUPS)}")
    started = time.monotonic()
    runner = Runner(folder, say)
    cases = list(dict.fromkeys(case for defect in defects for case in defect.cases))
    clean = runner.clean(cases or [faults.CASE])
    with removal.scratch("objects-") as temporary, ThreadPoolExecutor(jobs) as pool:
        objects = Objects.make(temporary) if defects else None
        rows = list(pool.map(lambda defect: runner.defect(defect, objects), defects)) if objects else []
        rows += list(pool.map(lambda fault: faults.run(fault, runner), wanted))
        clean_run = file_faults.CleanRun(runner, folder / "files")
        rows += list(pool.map(lambda fault: file_faults.run(fault, clean_run, runner.tell), of_files))
        rows += list(pool.map(lambda name: cached.run(name, runner), of_cache))
    record = Record(tuple(rows), clean, round(time.monotonic() - started, 1))
    (folder / "defects.json").write_text(record.to_json(), encoding="utf-8")
    return record


def claim(folder: Path) -> Path:
    """Hold the folder of a run over defects until this process ends; gives its absolute path.

    Raises:
        UsageError: it holds something else, or another process works in it.
    """
    return ownership.claim(folder, ours=_holds_record)


def _holds_record(folder: Path) -> bool:
    """Whether a folder holds the record of an earlier run over defects."""
    try:
        record = json.loads((folder / "defects.json").read_text(encoding="utf-8"))
        return bool(record["schema"] == SCHEMA and "defects" in record and "clean" in record)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False


def lines(record: Record) -> list[str]:
    """The record as a table for people."""
    wide = max((len(row.id) for row in record.rows), default=0)
    shown = []
    for row in record.rows:
        verdict = row.verdict if row.caught else f"{row.verdict} ({row.why}; expected {row.expected})"
        case = row.case.rpartition("/")[2]
        mark = "caught" if row.caught else "MISSED"
        shown.append(f"{row.group} {row.id:{wide}}  {mark}  {row.seconds:5.1f} s  {verdict}  {case}")
    caught = sum(row.caught for row in record.rows)
    shown.append(f"clean driver: {record.clean['status']}, {record.clean['cases']} cases")
    shown += [f"  {line}" for line in record.clean["wrong"]]
    shown.append(f"{caught} of {len(record.rows)} caught in {record.seconds:.0f} s")
    return shown

"""Defines the record of a run (``results.json``, schema 1), writes it and reads it.

Every report is rendered from these values alone, so it can be rendered again from the file.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from harness.errors import EXIT_USAGE, UsageError
from harness.files import inside
from harness.files.removal import write_whole
from harness.results import reading
from harness.results.status import Status, exit_code, worst
from harness.verify.verdict import DatagramCounts, Finding, Observation

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = 1
_HEAD = 1 << 16  # bytes at the beginning of a record; the run's own fields lie in them
FILE_NAME = "results.json"
PLAN, CAPTURE = "operations.jsonl", "capture.pcapng"
"""File names of a cell's plan (trace) and capture, in the cell's folder."""
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
OWN = "harness::"
"""Prefix of the ids of the harness's own cases, which are no tests of a suite."""

UNLOAD = f"{OWN}the driver unloads"
"""Id of the case that a cell gets if unloading the driver went wrong."""
DAMAGED = "damaged state"
"""Key in ``CellResult.facts`` if the guest's saved state was found damaged after a failure: the cell is rerun once."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An earlier verdict of a case that was run again; it is kept because a retry must not erase evidence.

    Args:
        status, reason, seconds: as in ``CaseResult``.
        sign: signature of the failure: verdicts and fields of its findings.
        folder: folder of its evidence, relative to the run's folder.
    """

    status: Status
    reason: str = ""
    seconds: float = 0.0
    sign: str = ""
    folder: str = ""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of one case.

    Args:
        id: the test's id in the cell: "test_sizes.py::test_empty[ipv4]".
        status: passed, failed, inconclusive or skipped.
        reason: one line, empty for a plain pass.
        seconds: from the case's first operation to its verdict.
        datagrams: counts by verdict.
        group: row of the case in tables; by default the test file without folder and suffix.
        findings: the deviations, one each.
        observed: behavior seen where the documentation leaves it open.
        background: number of frames by protocol that were not the driver's.
        evidence: pointers by kind: {"capture": "capture.pcapng", "frames": "12-19"}, files relative to the cell's
            folder.
        earlier: verdicts of earlier attempts, oldest first; this result is the last attempt.
        explained: the first findings in full: expected and seen packet side by side, bytes, tshark's text.
        verdict_seconds: from the guest's last frame on the bridge to the verdict; ``None`` if the guest sent none.
    """

    id: str
    status: Status
    reason: str = ""
    seconds: float = 0.0
    datagrams: DatagramCounts = field(default_factory=DatagramCounts)
    group: str = ""
    findings: tuple[Finding, ...] = ()
    observed: tuple[Observation, ...] = ()
    background: dict[str, int] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)
    earlier: tuple[Attempt, ...] = ()
    verdict_seconds: float | None = None
    explained: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.group and "::" in self.id:
            object.__setattr__(self, "group", PurePosixPath(self.id.split("::", 1)[0]).stem)

    @property
    def name(self) -> str:
        """The test's name inside its group."""
        function, bracket, parameters = self.id.partition("[")
        return function.rsplit("::", 1)[-1] + bracket + parameters

    @property
    def flaky(self) -> bool:
        """True if attempts at the case had different statuses."""
        return any(attempt.status is not self.status for attempt in self.earlier)

    def told(self) -> str:
        """Say in one line why the case has its status: the reason, or the first finding."""
        reason = self.reason or (self.findings[0].line(detail=False) if self.findings else "")
        return reason.splitlines()[0] if reason else ""


@dataclass(frozen=True, slots=True)
class CellFiles:
    """The plan and the capture of one attempt at a cell, as they were when it ended.

    Args:
        folder: folder of both, relative to the run's folder.
        plan, capture: SHA-256 of ``operations.jsonl`` and ``capture.pcapng`` in hexadecimal; empty if there is none.
    """

    folder: str
    plan: str = ""
    capture: str = ""


@dataclass(frozen=True, slots=True)
class CellResult:
    """The result of one cell.

    Args:
        guest, nic: names as in the catalogue.
        status: of the worst case, or of the cell itself if the lab failed.
        reason: why the cell has this status, if no case says it.
        fault: who caused an error of the cell itself: "driver", "lab", "user" or "harness"; empty without an error.
        driver: name of the driver file under test.
        accelerator: "kvm" or "tcg"; empty when no VM was started.
        timings: seconds by phase, in order.
        cases: in the order in which they ran.
        versions: of what belongs to this cell only: image key, driver key, guest.
        facts: state of the lab: evidence for the accelerator, netfilter on bridges, memory of QEMU.
        evidence: files of the cell by kind, relative to its folder.
        detail: evidence that may span lines (the end of the guest's console).
        folder: the cell's folder, relative to the run's.
        files: plan and capture of each attempt, oldest first; none in records of older versions.
    """

    guest: str
    nic: str
    status: Status
    reason: str = ""
    fault: str = ""
    driver: str = ""
    accelerator: str = ""
    timings: dict[str, float] = field(default_factory=dict)
    cases: tuple[CaseResult, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)
    detail: str = ""
    folder: str = ""
    files: tuple[CellFiles, ...] = ()

    @property
    def word(self) -> str:
        """The outcome as reports show it: the status, or "usage" if the user caused an error of the cell."""
        return "usage" if self.fault == "user" else str(self.status)

    @property
    def unloaded(self) -> bool:
        """True if the driver was unloaded cleanly; a cell has no case for that unless it went wrong.

        False if the cell has a fault or an inconclusive case, too.
        """
        doubtful = any(case.id == UNLOAD or case.status is Status.INCONCLUSIVE for case in self.cases)
        return "unload" in self.timings and not self.fault and not doubtful


@dataclass(frozen=True, slots=True)
class RunInfo:
    """When and where a run took place: times are ISO 8601 with zone; host and versions are name -> text.

    ``shard`` is "2/3" for the second of three runs that the user will merge; empty for a whole run.
    """

    id: str
    started: str
    ended: str = ""
    host: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
    shard: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """A whole run."""

    run: RunInfo
    cells: tuple[CellResult, ...]
    schema: int = SCHEMA

    @property
    def status(self) -> Status:
        """Status of the run's worst cell."""
        return worst(cell.status for cell in self.cells)

    def exit_code(self) -> int:
        """Return the run's exit code: 1 if anything failed, else 2 if the user caused an error, else by status."""
        if self.status is not Status.FAILED and any(cell.fault == "user" for cell in self.cells):
            return EXIT_USAGE
        return exit_code(cell.status for cell in self.cells)

    def titles(self) -> list[tuple[str, ...]]:
        """Return each cell's name: guest, NIC and, if the run has several known drivers, the driver if known."""
        several = len({cell.driver for cell in self.cells if cell.driver}) > 1
        return [(cell.guest, cell.nic, *((cell.driver,) if several and cell.driver else ())) for cell in self.cells]

    def counts(self) -> dict[Status, int]:
        """Number of cases by status."""
        counts = dict.fromkeys(Status, 0)
        for cell in self.cells:
            for case in cell.cases:
                counts[case.status] += 1
        return counts


def to_dict(value: Results | CellResult | CaseResult) -> dict[str, Any]:
    """Convert the value to JSON's types; ``schema`` comes first in a whole run."""
    made = asdict(value)
    return {"schema": made.pop("schema"), **made} if isinstance(value, Results) else made


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # imported here, because it takes 0.1 s that `harness --help` does not need

    return TypeAdapter(kind)


def cell_from_dict(value: dict[str, Any]) -> CellResult:
    """Convert the output of ``to_dict`` back to a cell; raises ``ValueError`` if it is none."""
    cell: CellResult = _adapter(CellResult).validate_python(value)
    return cell


def case_from_dict(value: dict[str, Any]) -> CaseResult:
    """Convert the output of ``to_dict`` back to a case; raises ``ValueError`` if it is none."""
    case: CaseResult = _adapter(CaseResult).validate_python(value)
    return case


def dumps(results: Results) -> str:
    """Return ``results.json`` as text; half a surrogate pair (from a name that is not UTF-8) is written escaped."""
    text = json.dumps(to_dict(results), indent=1, ensure_ascii=False)
    return _HALF_A_PAIR.sub(lambda half: f"\\\\u{ord(half[0]):04x}", text) + "\n"


def write(results: Results, folder: Path) -> Path:
    """Write ``results.json`` into the run's folder, whole or not at all, and return its path."""
    return write_whole(folder / FILE_NAME, dumps(results))


def load_run(path: Path) -> RunInfo:
    """Read only the run's own fields from a record, so that a search through years of records stays fast.

    Raises:
        UsageError: as ``load``, but damage after the beginning of the file goes unnoticed.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        with inside.plain_file(file) as source:
            begin = source.read(_HEAD).decode("utf-8", "ignore")
        value, _ = json.JSONDecoder().raw_decode(begin, begin.index("{", begin.index(f'"schema": {SCHEMA},\n "run": ')))
        run: RunInfo = _adapter(RunInfo).validate_python(value)
    except (OSError, ValueError, RecursionError):
        return load(path).run
    return run


def load(path: Path) -> Results:
    """Read ``results.json`` (or the folder that holds it).

    Raises:
        UsageError: there is no such file, or it is no record, has another schema, or names files outside its folder.
    """
    file = path / FILE_NAME if path.is_dir() else path
    return from_bytes(reading.text_of(file), file)


def from_bytes(content: bytes, file: object) -> Results:
    """Parse the bytes of a ``results.json``; ``file`` is its name in errors.

    Raises:
        UsageError: as ``load``.
    """
    value = reading.parsed(content, file)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise UsageError(f"{file} is not a record of schema {SCHEMA}")
    try:
        results: Results = _adapter(Results).validate_python(value)
    except ValueError as error:
        first = str(error).splitlines()[1:3]
        raise UsageError(f"{file} is not a record of a run: {' '.join(part.strip() for part in first)}") from error
    reading.require_sound(results, file)
    return results

"""The record of a run: the values behind ``results.json`` (schema 1), read and written.

Every report is made from these values alone and can be made again from the file.
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
_HEAD = 1 << 16  # bytes at the beginning of a record that hold what is said of the run
FILE_NAME = "results.json"
PLAN, CAPTURE = "operations.jsonl", "capture.pcapng"
"""A cell's plan and capture, in its folder."""
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
OWN = "harness::"
"""How the ids begin of what is no test of a suite."""

UNLOAD = f"{OWN}the driver unloads"
"""The case that a cell has when the end of the driver was wrong."""
DAMAGED = "damaged state"
"""Fact of a cell whose saved state was found damaged after a case had failed: the cell is run again, once."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An earlier verdict of a case that was run again: kept, because a retry must not erase evidence.

    Args:
        status, reason, seconds: as in ``CaseResult``.
        sign: what the failure looked like (verdicts and fields of its findings).
        folder: where its evidence lies, relative to the run's folder.
    """

    status: Status
    reason: str = ""
    seconds: float = 0.0
    sign: str = ""
    folder: str = ""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What became of one case.

    Args:
        id: the test's id in the cell: "test_sizes.py::test_empty[ipv4]".
        status: passed, failed, inconclusive or skipped.
        reason: one line, empty for a plain pass.
        seconds: from the case's first operation to its verdict.
        datagrams: counts by verdict.
        group: what the case belongs to in tables; the test file without folder and suffix when not given.
        findings: what was wrong, each by itself.
        observed: what was seen where the documents leave it open.
        background: frames by protocol that were not the driver's.
        evidence: pointers by kind: {"capture": "capture.pcapng", "frames": "12-19"}, files relative to the cell's
            folder.
        earlier: verdicts of earlier attempts, oldest first; this one is the last.
        explained: the first findings made plain: expected and seen packet side by side, bytes, tshark's text.
        verdict_seconds: from the guest's last frame on the bridge to the verdict; ``None`` where it sent none.
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
        """Whether attempts at the case came to different verdicts."""
        return any(attempt.status is not self.status for attempt in self.earlier)

    def told(self) -> str:
        """Why the case has its status, in one line: the reason, or the first finding."""
        reason = self.reason or (self.findings[0].line(detail=False) if self.findings else "")
        return reason.splitlines()[0] if reason else ""


@dataclass(frozen=True, slots=True)
class CellFiles:
    """The plan and the capture of one attempt at a cell, as they were when it ended.

    Args:
        folder: where they lie, relative to the run's folder.
        plan, capture: SHA-256 of ``operations.jsonl`` and ``capture.pcapng`` in hexadecimal; empty for no such file.
    """

    folder: str
    plan: str = ""
    capture: str = ""


@dataclass(frozen=True, slots=True)
class CellResult:
    """What became of one guest x NIC.

    Args:
        guest, nic: names as in the catalogue.
        status: of the worst case, or of the cell itself when the lab failed.
        reason: why the cell has this status when no case tells.
        fault: whose fault an error of the cell itself was: "driver", "lab", "user" or "harness"; empty without one.
        driver: name of the driver file under test.
        accelerator: "kvm" or "tcg"; empty when no VM was started.
        timings: seconds by phase, in order.
        cases: in the order in which they ran.
        versions: what took part in this cell only: image key, driver key, guest.
        facts: what the lab was like: evidence for the accelerator, netfilter on bridges, memory of QEMU.
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
    def unloaded(self) -> bool:
        """Whether the driver was unloaded in the end and nothing was wrong with that, which no case tells."""
        doubtful = any(case.id == UNLOAD or case.status is Status.INCONCLUSIVE for case in self.cases)
        return "unload" in self.timings and not self.fault and not doubtful


@dataclass(frozen=True, slots=True)
class RunInfo:
    """When and where a run was: times are ISO 8601 with zone; host and versions are name -> text.

    ``shard`` is "2/3" for the second of three runs that are to be merged; empty for a whole one.
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
        """The run's status: that of its worst cell."""
        return worst(cell.status for cell in self.cells)

    def exit_code(self) -> int:
        """Exit code of the run: 1 when anything failed, then 2 when the user was at fault, else by status."""
        if self.status is not Status.FAILED and any(cell.fault == "user" for cell in self.cells):
            return EXIT_USAGE
        return exit_code(cell.status for cell in self.cells)

    def titles(self) -> list[tuple[str, ...]]:
        """What each cell is called: guest, NIC and, where there are several, the driver build, if it is known."""
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
    """The value as JSON's types; ``schema`` comes first in a whole run."""
    made = asdict(value)
    return {"schema": made.pop("schema"), **made} if isinstance(value, Results) else made


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # here: 0.1 s that `harness --help` need not pay

    return TypeAdapter(kind)


def cell_from_dict(value: dict[str, Any]) -> CellResult:
    """The cell back from ``to_dict``; raises ``ValueError`` when it is not one."""
    cell: CellResult = _adapter(CellResult).validate_python(value)
    return cell


def case_from_dict(value: dict[str, Any]) -> CaseResult:
    """The case back from ``to_dict``; raises ``ValueError`` when it is not one."""
    case: CaseResult = _adapter(CaseResult).validate_python(value)
    return case


def dumps(results: Results) -> str:
    """``results.json`` as text; half a surrogate pair (a name that is not UTF-8) stands in it as its escape."""
    text = json.dumps(to_dict(results), indent=1, ensure_ascii=False)
    return _HALF_A_PAIR.sub(lambda half: f"\\\\u{ord(half[0]):04x}", text) + "\n"


def write(results: Results, folder: Path) -> Path:
    """Write ``results.json`` into the run's folder, whole or not at all, and return its path."""
    return write_whole(folder / FILE_NAME, dumps(results))


def load_run(path: Path) -> RunInfo:
    """What ``load`` gives as the run, without reading the cells: records of years are looked through by it.

    Raises:
        UsageError: as ``load``; a file that is broken behind its beginning is not noticed.
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
        UsageError: no such file, not a record of a run, one that names files elsewhere, or written by a newer schema.
    """
    file = path / FILE_NAME if path.is_dir() else path
    return from_bytes(reading.text_of(file), file)


def from_bytes(content: bytes, file: object) -> Results:
    """The record in the bytes of a ``results.json``; ``file`` is what an error names.

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

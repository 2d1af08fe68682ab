"""The commands ``verify`` and ``replay``: options in, text or JSON out, an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness import printable
from harness.errors import EXIT_PASSED, UsageError
from harness.offline.output import to_json, to_text
from harness.offline.segments import Choice
from harness.offline.verify import FileVerdict, Reader
from harness.offline.verify import verify as judge_file
from harness.results.status import exit_code

if TYPE_CHECKING:
    from harness.offline.bundle import Replayed

_MOST_DOUBTS = 40


def verify(
    capture: Path, plan: Path, reader: str, interface: str, vlan: int | None, *, explain: int, as_json: bool
) -> int:
    """Verify a file and print the verdict; gives the exit code.

    Raises:
        UsageError: a file cannot be read, or the reader is not known.
        LabError: tshark was asked for and is not installed.
    """
    return tell(judge_file(capture, plan, _reader(reader), Choice(interface, vlan)), explain=explain, as_json=as_json)


def replay(source: Path, *, pack: bool, output: Path | None, reader: str, as_json: bool) -> int:
    """Pack a run's folder, or judge a packed or plain one again and print what came of it; gives the exit code.

    Raises:
        UsageError: there is no run, or the reader is not known.
    """
    from harness.offline import bundle  # archives are of no use to ``verify``

    if pack:
        print(printable.line(str(bundle.pack(source, output))))
        return EXIT_PASSED
    cells = []
    for cell in bundle.replay(source, _reader(reader)):
        cells.append(cell)
        if not as_json:
            for line in _replayed(cell):
                print(printable.line(line), flush=True)
    status = bundle.worst_of(cells)
    if as_json:
        told = [
            {
                "cell": cell.cell,
                "status": cell.status.value,
                "reason": cell.reason,
                "changes": [asdict(change) for change in cell.changes],
                "doubts": list(cell.doubts),
                "notes": list(cell.notes),
                "verdict": to_json(cell.verdict) if cell.verdict is not None else None,
            }
            for cell in cells
        ]
        json.dump({"schema": 1, "status": status.value, "cells": told}, sys.stdout, indent=1)
        sys.stdout.write("\n")
    return exit_code([status])


def _replayed(cell: Replayed) -> Iterator[str]:
    """A cell in lines: its status, each case whose status is another today, and each doubt and note."""
    yield f"{cell.status.value:12} {cell.cell}{f': {cell.reason}' if cell.reason else ''}"
    for change in cell.changes:
        yield f"  {change.case}: was {change.was}, is {change.now}"
    doubts = [doubt for doubt in cell.doubts if doubt != cell.reason]
    for doubt in doubts[:_MOST_DOUBTS]:
        yield f"  {doubt}"
    if len(doubts) > _MOST_DOUBTS:
        yield f"  ... {len(doubts) - _MOST_DOUBTS} more lines (--json lists all of them)"
    for note in cell.notes:
        yield f"  note: {note}"


def tell(verdict: FileVerdict, *, explain: int, as_json: bool) -> int:
    """Print a verdict; gives the exit code."""
    if as_json:
        json.dump(to_json(verdict), sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        for line in to_text(verdict, explain):
            print(printable.line(line))
    return exit_code([verdict.status])


def _reader(name: str) -> Reader:
    try:
        return Reader(name)
    except ValueError:
        raise UsageError(f"reader {name!r} is not known", mend=f"use one of: {', '.join(Reader)}") from None

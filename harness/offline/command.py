"""The commands ``verify`` and ``replay``: options in, text or JSON out, an exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness.errors import UsageError
from harness.offline.output import to_json, to_text
from harness.offline.stretches import Choice
from harness.offline.verify import FileVerdict, Reader
from harness.offline.verify import verify as judge_file
from harness.report.status import exit_code


def verify(
    capture: Path, plan: Path, reader: str, interface: str, vlan: int | None, *, explain: int, as_json: bool
) -> int:
    """Verify a file and print the verdict; gives the exit code.

    Raises:
        UsageError: a file cannot be read, or the reader is not known.
        LabError: tshark was asked for and is not installed.
    """
    return tell(judge_file(capture, plan, _reader(reader), Choice(interface, vlan)), explain=explain, as_json=as_json)


def tell(verdict: FileVerdict, *, explain: int, as_json: bool) -> int:
    """Print a verdict; gives the exit code."""
    if as_json:
        json.dump(to_json(verdict), sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        for line in to_text(verdict, explain):
            print(line)
    return exit_code([verdict.status])


def _reader(name: str) -> Reader:
    try:
        return Reader(name)
    except ValueError:
        raise UsageError(f"reader {name!r} is not known", mend=f"use one of: {', '.join(Reader)}") from None

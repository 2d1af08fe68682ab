"""Reads a plan from its file, within limits, and notices a file that was cut."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness.errors import UsageError
from harness.files import inside
from harness.model.site import Site
from harness.trace.trace_lines import CUT, Plan, parse
from harness.wsk.operations import Burst

_MOST_OF_A_BURST = 1 << 30
_LONGEST_LINE = 64 << 20  # bytes; a datagram of 65,507 bytes takes 131,014
_LARGEST = 1 << 30  # bytes; 427 cases take one million


def read_plan(path: Path) -> tuple[Plan, Site]:
    """Read a plan from a file, and return it with its site.

    Raises:
        UsageError: the file cannot be read, is too large or no plan, or has a burst out of range.
    """
    try:
        lines = _Lines(path)
        plan = parse(lines)
    except OSError as error:
        raise UsageError(f"cannot read the plan {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a plan: it is not text in UTF-8") from None
    if lines.cut:
        plan = replace(plan, doubts=(CUT,))
    for step in plan.steps:
        burst = step.operation
        if isinstance(burst, Burst) and not (
            0 <= burst.count <= _MOST_OF_A_BURST and 0 <= burst.size <= 0xFFFF and 0 <= burst.first < 1 << 63
        ):
            what = f"a burst of {burst.count} datagrams of {burst.size} bytes from {burst.first} on"
            raise UsageError(f"{path}: step {step.number} is {what}, which nothing here can judge")
    return plan, Site.from_json({"profile": plan.header.profile, **plan.header.site})


class _Lines:
    """Iterates over the lines of a plan's file; leaves out a last line that was cut, and sets ``cut``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.cut = False

    def __iter__(self) -> Iterator[str]:
        read = 0
        with inside.named_file(self._path) as file:
            while line := file.readline(_LONGEST_LINE):
                read += len(line)
                if len(line) >= _LONGEST_LINE or read > _LARGEST:
                    limits = f"a plan has at most {_LARGEST >> 20} MiB, and {_LONGEST_LINE >> 20} MiB in a line"
                    raise UsageError(f"{self._path} is too large: {limits}")
                if not line.endswith(b"\n") and not self._is_whole(line):
                    return
                yield line.removeprefix(codecs.BOM_UTF8 if read == len(line) else b"").decode()

    def _is_whole(self, line: bytes) -> bool:
        """True if the last line, which has no line end, must be parsed: it is JSON, or was never a plan's line.

        Sets ``cut`` if the line begins like JSON's objects but is incomplete.
        """
        try:
            json.loads(line)
        except (ValueError, RecursionError):
            self.cut = line.lstrip().startswith(b"{")
            return not self.cut
        return True

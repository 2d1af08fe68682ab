"""Parses the verifier's log and converts it to findings, with functions and lines of the driver's source.

The log is a file in the guest, not a reply of the driver, so the harness can read it while the driver hangs and after
it crashed.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness import children
from harness.driver_verifier.rules import NOTES, rule
from harness.verify.verdict import Finding, Verdict

LOG = "C:/harness/verifier.log"
_ADDR2LINE = "x86_64-w64-mingw32-addr2line"
_PLACE = re.compile(r"@([0-9a-f]+)")
_TOLD_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log.

    Args:
        code: one of the codes in ``rules``.
        place: offset of the finding's instruction in the driver's image; 0 if the instruction is not in the image.
        words: the circumstances; "@1f0" stands for an offset in the image.
        stack: return addresses in the image, nearest first.
    """

    code: str
    place: int
    words: str
    stack: tuple[int, ...] = ()


def parse(text: str) -> list[Line]:
    """Parse the complete lines in a piece of the log; text that does not have the form of a line is left out.

    Raises:
        ValueError: a line has a bad address. The line may be a finding, so it must not be left out.
    """
    lines = []
    for raw in text.split("\n"):
        parts = raw.split("\t")
        if len(parts) == 5 and parts[0].isdigit():
            try:
                places = [int(word, 16) for word in (parts[2], *parts[4].split())]
            except ValueError:
                raise ValueError(f"the verifier's log holds a line that cannot be read: {raw!r}") from None
            lines.append(Line(parts[1], places[0], parts[3], tuple(places[1:])))
    return lines


class Symbols:
    """Translates offsets in a driver's image to functions and lines, by the image with symbols.

    Args:
        debug: the unstripped image; if it is missing, offsets stay numbers.
    """

    def __init__(self, debug: Path) -> None:
        self._debug = debug if debug.is_file() else None
        self._known: dict[int, str] = {}

    def name(self, offset: int) -> str:
        """Return the function and line of an offset ("CallSend, send.c:197"), or the offset itself ("+0x1f0")."""
        self.look_up((offset,))
        return self._known.get(offset, f"+{offset:#x}")

    def look_up(self, offsets: Iterable[int]) -> None:
        """Resolve many offsets with one call of addr2line, and keep the results for ``name``."""
        wanted = [offset for offset in dict.fromkeys(offsets) if offset and offset not in self._known]
        if not wanted or self._debug is None:
            return
        base = _image_base(self._debug)
        addresses = [hex(base + offset - 1) for offset in wanted]  # -1: the call, not the instruction it returns to
        command = [_ADDR2LINE, "-f", "-e", str(self._debug.absolute()), *addresses]
        try:
            answer = children.run(command, check=True).stdout.splitlines()
        except (OSError, subprocess.CalledProcessError):
            return
        for offset, function, where in zip(wanted, answer[::2], answer[1::2], strict=False):
            if function != "??":
                self._known[offset] = f"{function}, {where.rpartition('/')[2].split(' ')[0]}"


def _image_base(image: Path) -> int:
    """Read ImageBase from a PE32+ file (Microsoft PE and COFF specification, optional header)."""
    data = image.read_bytes()[:4096]
    (header,) = struct.unpack_from("<I", data, 0x3C)
    (base,) = struct.unpack_from("<Q", data, header + 0x18 + 24)
    return int(base)


def findings(lines: Iterable[Line], symbols: Symbols) -> tuple[Finding, ...]:
    """Convert lines of the log to findings: one per code and place with its count, 20 at most, without notes."""
    counted: dict[tuple[str, int], tuple[Line, int]] = {}
    for line in lines:
        if line.code not in NOTES:
            first, count = counted.get((line.code, line.place), (line, 0))
            counted[line.code, line.place] = first, count + 1
    told = list(counted.values())[:_TOLD_AT_MOST]
    places = [int(found, 16) for line, _ in told for found in _PLACE.findall(line.words)]
    symbols.look_up([*places, *(line.place for line, _ in told), *(one for line, _ in told for one in line.stack)])
    return tuple(_finding(line, count, symbols) for line, count in told)


def _finding(line: Line, count: int, symbols: Symbols) -> Finding:
    asked = rule(line.code)
    words = _PLACE.sub(lambda found: symbols.name(int(found[1], 16)), line.words)
    where = f" at {symbols.name(line.place)}" if line.place else ""
    times = f", {count} times" if count > 1 else ""
    stack = "; called from " + " < ".join(symbols.name(one) for one in line.stack) if line.stack else ""
    return Finding(
        Verdict.VERIFIER, None, None, line.code, asked.words, f"{words}{where}{times}", f"{asked.source}{stack}"
    )

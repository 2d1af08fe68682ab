"""Decodes a stop code and its parameters from the places where Windows or QEMU write them: pure.

Places: event 1001 of WER-SystemErrorReporting, event 41 of Kernel-Power, QEMU's log line of the Hyper-V crash
registers, the header of a dump. Names from ``bugchecks.toml``.
"""

from __future__ import annotations

import re
import struct
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_VALUES = re.compile(r"0x[0-9a-fA-F]+")
_STOP = re.compile(r"(0x[0-9a-fA-F]{8})\s*\(\s*(0x[0-9a-fA-F]+(?:\s*,\s*0x[0-9a-fA-F]+){3})\s*\)")
_DUMP_MAGIC = b"PAGEDU64"
_DUMP_CODE = struct.Struct("<I4x4Q")  # at 0x38 of DUMP_HEADER64
_DUMP_OFFSET = 0x38
DUMP_HEADER_BYTES = _DUMP_OFFSET + _DUMP_CODE.size


@cache
def _table() -> dict[int, dict[str, Any]]:
    text = (Path(__file__).parent / "bugchecks.toml").read_text(encoding="ascii")
    return {int(code, 16): row for code, row in tomllib.loads(text).items()}


@dataclass(frozen=True, slots=True)
class Bugcheck:
    """A stop code with its four parameters."""

    code: int
    parameters: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def name(self) -> str:
        """The name that Microsoft gives it."""
        row = _table().get(self.code)
        return str(row["name"]) if row else "UNKNOWN_BUGCHECK"

    @property
    def meanings(self) -> tuple[str, ...]:
        """What each parameter is to a fingerprint: "value", "code" or "any"."""
        row = _table().get(self.code)
        return tuple(row["parameters"]) if row else ("any",) * 4

    def __str__(self) -> str:
        words = ", ".join(f"{parameter:#x}" for parameter in self.parameters)
        return f"{self.code:#x} {self.name} ({words})"


def from_text(text: str) -> Bugcheck | None:
    """From the message of event 1001, in any language: an eight-digit code and four parameters in brackets."""
    found = _STOP.search(text)
    if found is None:
        return None
    first, second, third, fourth = (int(value, 16) for value in _VALUES.findall(found[2]))
    return Bugcheck(int(found[1], 16), (first, second, third, fourth))


def from_power_event(data: Mapping[str, str]) -> Bugcheck | None:
    """From the data of a Kernel-Power event 41; ``None`` when the restart was no bugcheck (a reset, a power cut)."""
    try:
        code = int(data.get("BugcheckCode", "0"), 0)
        first, second, third, fourth = (int(data.get(f"BugcheckParameter{n}", "0"), 0) for n in range(1, 5))
    except ValueError:
        return None
    return Bugcheck(code, (first, second, third, fourth)) if code else None


def from_dump(head: bytes) -> Bugcheck | None:
    """From the first bytes of a 64-bit kernel dump; ``None`` when they are none, or the dump is of a live system."""
    if len(head) < DUMP_HEADER_BYTES or head[:8] != _DUMP_MAGIC:
        return None
    code, first, second, third, fourth = _DUMP_CODE.unpack_from(head, _DUMP_OFFSET)
    return Bugcheck(code, (first, second, third, fourth))

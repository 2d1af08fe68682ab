"""One short name per kind of crash, the same from night to night: pure.

Addresses move with every boot, so of the parameters only numbers with a meaning count, and addresses of code: as module
and offset when the modules' places are known, else by their place in the page, for images move by whole pages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from harness.guests.windows.crash.bugcheck import Bugcheck

_KERNEL_SPACE = 0xFFFF_8000_0000_0000
_PAGE_MASK = 0xFFF


@dataclass(frozen=True, slots=True)
class Module:
    """A loaded kernel module: its file's name, base address and size in bytes."""

    name: str
    base: int
    size: int


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What equal crashes have in common.

    Args:
        text: for people: "0xd1 DRIVER_IRQL_NOT_LESS_OR_EQUAL *,0x2,0x0,wsksend.sys+0x1234".
        key: for machines: twelve hex digits of its SHA-256.
    """

    text: str
    key: str


def fingerprint(bugcheck: Bugcheck, modules: Sequence[Module] = ()) -> Fingerprint:
    """The fingerprint of a crash.

    Args:
        bugcheck: what stopped Windows.
        modules: where the kernel's modules lay in that boot, as far as it is known.
    """
    words = [
        _word(meaning, value, modules) for meaning, value in zip(bugcheck.meanings, bugcheck.parameters, strict=True)
    ]
    text = f"{bugcheck.code:#x} {bugcheck.name} {','.join(words)}"
    return Fingerprint(text, hashlib.sha256(text.encode()).hexdigest()[:12])


def _word(meaning: str, value: int, modules: Sequence[Module]) -> str:
    if meaning == "any":
        return "*"
    if meaning == "value":
        return f"{value & 0xFFFFFFFF:#x}" if value >= _KERNEL_SPACE and _is_status(value) else _number(value)
    for module in modules:
        if module.base <= value < module.base + module.size:
            return f"{module.name.lower()}+{value - module.base:#x}"
    return f"*{value & _PAGE_MASK:03x}" if value >= _KERNEL_SPACE else _number(value)


def _is_status(value: int) -> bool:
    """Whether a parameter is an NTSTATUS that was widened with its sign."""
    return value >> 32 == 0xFFFF_FFFF and value & 0x8000_0000 != 0


def _number(value: int) -> str:
    return "*" if value >= _KERNEL_SPACE else f"{value:#x}"

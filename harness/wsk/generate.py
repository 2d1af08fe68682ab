"""Writes ``harness/wsk/layouts.py`` from the C headers of the drivers' interface: ``python -m harness.wsk.generate``.

The headers in ``drivers/include`` are the source: each ``#define`` with a number becomes a constant, each structure a
``Layout``. A unit test fails if the committed file differs from what this module writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness import resources

HEADERS = {"wsksend_abi.h": "WSKSEND_", "wskprovider_abi.h": "WSKPROVIDER_"}
TARGET = Path(__file__).with_name("layouts.py")
_PREFIXES = {"WSKSEND_": "", "WSKPROVIDER_": "PROVIDER_"}  # prefix of a name in C: prefix of its name in Python
_COMMON = "wsksend_header"  # begins every request, so it is no structure of its own in Python
_CODES = {
    "uint8_t": "B",
    "uint16_t": "H",
    "uint32_t": "I",
    "uint64_t": "Q",
    "int32_t": "i",
    "int64_t": "q",
}
_SIZES = {"B": 1, "H": 2, "I": 4, "i": 4, "Q": 8, "q": 8}
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_DEFINE = re.compile(r"^#define (WSK\w+) (.+)$", re.MULTILINE)
_STRUCT = re.compile(r"^struct (\w+) \{(.*?)^\};", re.MULTILINE | re.DOTALL)
_MEMBER = re.compile(r"(struct \w+|\w+) (\w+)(?:\[(\w+)\])?;")
_HEAD = '''"""The structures and constants of ``wsksend_abi.h`` and ``wskprovider_abi.h`` (drivers/include), as values.

Written by ``python -m harness.wsk.generate``: change the headers, then run it.
"""

from __future__ import annotations

from harness.wsk.layout import Layout

STATUS_SUCCESS = 0
'''

Members = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Interface:
    """The headers' constants and structures, by their names in C.

    Args:
        constants: value of each ``#define``.
        structures: (member, ``struct`` code) pairs of each structure; members of inner structures as ``outer.inner``.
    """

    constants: dict[str, int]
    structures: dict[str, Members]


def read() -> Interface:
    """Read the headers of this installation.

    Raises:
        ValueError: a header has an expression or a member that this module does not know, or implicit padding.
    """
    found = Interface({}, {})
    for header in HEADERS:
        text = _COMMENT.sub("", (resources.root() / "drivers" / "include" / header).read_text(encoding="utf-8"))
        for name, expression in _DEFINE.findall(text):
            found.constants[name] = _number(expression.strip(), text, found.constants)
        for name, body in _STRUCT.findall(text):
            found.structures[name] = _members(name, body, found)
    return found


def _number(expression: str, text: str, known: dict[str, int]) -> int:
    if expression in known:
        return known[expression]
    if call := re.fullmatch(r"(\w+)_IOCTL\((\w+)\)", expression):  # CTL_CODE, METHOD_BUFFERED, read and write access
        return known[f"{call[1]}_DEVICE_TYPE"] << 16 | 3 << 14 | _number(call[2], text, known) << 2
    return int(expression.removesuffix("u"), 0)


def _members(name: str, body: str, found: Interface) -> Members:
    members: list[tuple[str, str]] = []
    at = 0
    for kind, member, count in _MEMBER.findall(body):
        if kind.startswith("struct "):
            inner = found.structures[kind.removeprefix("struct ")]
            members += [(f"{member}.{each}", code) for each, code in inner]
            at += sum(_size(code) for _, code in inner)
            continue
        size = _SIZES[_CODES[kind]]
        if at % size:
            raise ValueError(f"struct {name} has padding before {member}")
        many = _number(count, "", found.constants) if count else 0
        members.append((member, f"{size * many}s" if many else _CODES[kind]))
        at += size * max(many, 1)
    return tuple(members)


def _size(code: str) -> int:
    return int(code[:-1]) if code.endswith("s") else _SIZES[code]


def constant(name: str) -> str:
    """Return a ``#define``'s name in Python: IOCTL_OPEN for WSKSEND_IOCTL_OPEN, PROVIDER_X for WSKPROVIDER_X."""
    prefix = next(each for each in _PREFIXES if name.startswith(each))
    return _PREFIXES[prefix] + name.removeprefix(prefix).replace("ABI_VERSION", "VERSION")


def text(interface: Interface) -> str:
    """Return the text of ``layouts.py``, formatted as ``ruff format`` would."""
    lines = [_HEAD]
    lines += [f"{constant(name)} = {_written(value)}" for name, value in interface.constants.items()]
    lines.append("")
    names = []
    for name, members in interface.structures.items():
        if name == _COMMON:
            continue
        names.append(name.partition("_")[2].upper())
        lines += [f"{names[-1]} = Layout(", f'    "{name}",']
        lines += [f'    ("{member}", "{code}"),' for member, code in members]
        lines.append(")")
    lines += ["", "LAYOUTS = (", *(f"    {name}," for name in names), ")", ""]
    return "\n".join(lines)


def _written(value: int) -> str:
    return f"{value:#X}".replace("0X", "0x") if value > 0xFFFFFFF else str(value)


if __name__ == "__main__":
    TARGET.write_text(text(read()), encoding="utf-8")

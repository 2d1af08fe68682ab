"""Which cells of the matrix run, and why the others do not: filters and requirements, pure.

A pattern with " x " is held against the whole cell ("wine x e1000*"), any other against each of its parts
("*+mtu=9000"). Later stages see what earlier ones left: include, exclude, requirements.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.cell.job import Cell
from harness.errors import UsageError

_COMPARED = re.compile(r"\s*(>=|<=|==|!=|<|>)?\s*([\w.+-]+)\s*$")


@dataclass(frozen=True, slots=True)
class Requirement:
    """What cells need of the host.

    Args:
        cells: pattern of the cells that need it.
        needs: fact -> what it must be: ">=8.0", "kvm"; facts are versions by name, "accelerator", "cores", "memory"
            (MiB), "kernel".
        reason: why, in the words of whoever wrote it.
    """

    cells: str
    needs: Mapping[str, str]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """A cell, and why it is skipped; empty when it runs."""

    cell: Cell
    skip: str = ""


def matches(cell: Cell, pattern: str) -> bool:
    """Whether a pattern means the cell."""
    if " x " in pattern:
        return fnmatchcase(str(cell), pattern) or fnmatchcase(f"{cell.guest} x {cell.nic}", pattern)
    return any(fnmatchcase(part, pattern) for part in (cell.guest, cell.nic, cell.driver) if part)


def plan(
    cells: Iterable[Cell],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    requirements: Sequence[Requirement] = (),
    facts: Mapping[str, str] | None = None,
) -> list[Planned]:
    """Every cell with the decision; in the order given."""
    return [Planned(cell, _why_not(cell, include, exclude, requirements, facts or {})) for cell in cells]


def chosen(planned: Sequence[Planned]) -> list[Cell]:
    """The cells that run.

    Raises:
        UsageError: none does; says why, reason by reason.
    """
    cells = [each.cell for each in planned if not each.skip]
    if not cells:
        reasons: dict[str, list[str]] = {}
        for each in planned:
            reasons.setdefault(each.skip, []).append(str(each.cell))
        told = "; ".join(f"{_some(names)}: {reason}" for reason, names in reasons.items()) or "there is no cell at all"
        raise UsageError(f"the filters leave no cell to run: {told}", mend="`harness matrix` shows every cell")
    return cells


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _why_not(
    cell: Cell,
    include: Sequence[str],
    exclude: Sequence[str],
    requirements: Sequence[Requirement],
    facts: Mapping[str, str],
) -> str:
    if include and not any(matches(cell, pattern) for pattern in include):
        return f"not included by {', '.join(map(repr, include))}"
    for pattern in exclude:
        if matches(cell, pattern):
            return f"excluded by {pattern!r}"
    for requirement in requirements:
        if matches(cell, requirement.cells) and (lack := _lack(requirement, facts)):
            return f"{lack}{f' ({requirement.reason})' if requirement.reason else ''}"
    return ""


def _lack(requirement: Requirement, facts: Mapping[str, str]) -> str:
    for fact, wanted in requirement.needs.items():
        has = facts.get(fact, "")
        if not holds(has, wanted):
            return f"needs {fact} {wanted}, this host has {has or 'none'}"
    return ""


def holds(has: str, wanted: str) -> bool:
    """Whether a fact is as wanted: versions and numbers by size, words by equality.

    Raises:
        UsageError: ``wanted`` is no comparison.
    """
    match = _COMPARED.match(wanted)
    if match is None:
        raise UsageError(f"{wanted!r} is no requirement", mend='write ">=8.0" or a plain word')
    sign, value = match[1] or "==", match[2]
    if not has:
        return False
    if sign in ("==", "!="):
        return (has == value or has.startswith(f"{value}.")) is (sign == "==")
    left, right = _numbers(has), _numbers(value)
    return {">=": left >= right, "<=": left <= right, "<": left < right, ">": left > right}[sign]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))

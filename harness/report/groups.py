"""Many failures told as few: what fails alike in one test, over its parameters and over cells, is one line. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_MOST_PLACES = 3


@dataclass(frozen=True, slots=True)
class Trouble:
    """A case of a cell that somebody is to be told of.

    Args:
        place: the cell, as the reader calls it.
        case: the case's id.
        told: what is wrong with it, in one line.
        looks: what other cases must share to be alike; what is told without its numbers and values when not given.
    """

    place: str
    case: str
    told: str
    looks: str = ""

    @property
    def kind(self) -> tuple[str, str]:
        """The test without its parameters, and what the trouble looks like."""
        looks = self.looks or re.sub(r"0x[0-9a-fA-F]+|\d+", "", self.told.partition(" expected ")[0])
        return self.case.partition("[")[0], looks


@dataclass(frozen=True, slots=True)
class Group:
    """Cases that are alike; the first stands for all."""

    first: Trouble
    cases: int
    places: tuple[str, ...]

    def line(self) -> str:
        """The group as one line: places, test, how many of its cases, and what is wrong with the first."""
        shown = self.places if len(self.places) <= _MOST_PLACES else self.places[: _MOST_PLACES - 1]
        more = f" and {len(self.places) - len(shown)} other cells" if len(shown) < len(self.places) else ""
        case = self.first.case if self.cases == 1 else f"{self.first.case.partition('[')[0]} ({self.cases} cases)"
        return f"{', '.join(shown)}{more}: {case}: {self.first.told}"


def grouped(troubles: Iterable[Trouble]) -> list[Group]:
    """The troubles in groups of those that are alike, in the order of their first."""
    found: dict[tuple[str, str], list[Trouble]] = {}
    for trouble in troubles:
        found.setdefault(trouble.kind, []).append(trouble)
    return [
        Group(alike[0], len({each.case for each in alike}), tuple(dict.fromkeys(each.place for each in alike)))
        for alike in found.values()
    ]


def told(troubles: Sequence[Trouble], most: int, elsewhere: str) -> list[str]:
    """Lines of the groups, ``most`` at the most; a last line says how many cases in cells are not told.

    Args:
        troubles: what is to be told.
        most: lines.
        elsewhere: where the rest is to be found.
    """
    groups = grouped(troubles)
    lines = [group.line() for group in groups[:most]]
    left = {group.first.kind for group in groups[most:]}
    if left:
        lines.append(f"... and {sum(trouble.kind in left for trouble in troubles)} more {elsewhere}".rstrip())
    return lines

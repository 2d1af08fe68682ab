"""Many failures told as few: what fails alike in one test, over its parameters and over cells, is one line. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
        return self.case.partition("[")[0], self.looks or looks(self.told)


def looks(told: str) -> str:
    """What is wrong without its numbers and values."""
    return re.sub(r"0x[0-9a-fA-F]+|\d+", "", told.partition(" expected ")[0])


@dataclass(frozen=True, slots=True)
class Group:
    """Cases that are alike; the first stands for all.

    Args:
        first: of them.
        members: where they stood in what was grouped.
        cases: how many cases, whatever their cells.
        places: their cells, each once.
    """

    first: Trouble
    members: tuple[int, ...]
    cases: int
    places: tuple[str, ...]

    def where(self) -> str:
        """The cells, the last of many counted only."""
        shown = self.places if len(self.places) <= _MOST_PLACES else self.places[: _MOST_PLACES - 1]
        more = f" and {len(self.places) - len(shown)} other cells" if len(shown) < len(self.places) else ""
        return f"{', '.join(shown)}{more}"

    def case(self) -> str:
        """The case, or the test and how many of its cases."""
        return self.first.case if self.cases == 1 else f"{self.first.case.partition('[')[0]} ({self.cases} cases)"

    def line(self) -> str:
        """The group as one line: cells, case, and what is wrong with the first."""
        return f"{self.where()}: {self.case()}: {self.first.told}"


def grouped(troubles: Sequence[Trouble]) -> list[Group]:
    """The troubles in groups of those that are alike, in the order of their first."""
    found: dict[tuple[str, str], list[int]] = {}
    for index, trouble in enumerate(troubles):
        found.setdefault(trouble.kind, []).append(index)
    groups = []
    for members in found.values():
        alike = [troubles[index] for index in members]
        places = tuple(dict.fromkeys(each.place for each in alike))
        groups.append(Group(alike[0], tuple(members), len({each.case for each in alike}), places))
    return groups


def told(troubles: Sequence[Trouble], most: int, elsewhere: str) -> list[str]:
    """Lines of the groups, ``most`` at the most; a last line says how many cases in cells are not told.

    Args:
        troubles: what is to be told.
        most: lines.
        elsewhere: where the rest is to be found.
    """
    groups = grouped(troubles)
    lines = [group.line() for group in groups[:most]]
    left = sum(len(group.members) for group in groups[most:])
    return [*lines, f"... and {left} more {elsewhere}".rstrip()] if left else lines

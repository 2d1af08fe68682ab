"""Groups similar failures of one test, over its parameters and over cells, so that a report needs one line. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_MOST_PLACES = 3


@dataclass(frozen=True, slots=True)
class Trouble:
    """A case of a cell that a report must mention.

    Args:
        place: the cell's name in this report.
        case: the case's id.
        told: what is wrong with the case, in one line.
        looks: text that is equal in similar cases; by default ``told`` without its numbers and values.
    """

    place: str
    case: str
    told: str
    looks: str = ""

    @property
    def kind(self) -> tuple[str, str]:
        """The test without its parameters, and ``looks``: equal in troubles that share a group."""
        return self.case.partition("[")[0], self.looks or looks(self.told)


def looks(told: str) -> str:
    """Return a text without its numbers and without what follows " expected "."""
    return re.sub(r"0x[0-9a-fA-F]+|\d+", "", told.partition(" expected ")[0])


@dataclass(frozen=True, slots=True)
class Group:
    """Similar cases; a report shows the first and counts the others.

    Args:
        first: the first of them.
        members: indexes of all of them in the sequence that was grouped.
        cases: number of different case ids, over all cells.
        places: their cells, each once.
    """

    first: Trouble
    members: tuple[int, ...]
    cases: int
    places: tuple[str, ...]

    def where(self) -> str:
        """Name the cells; of more than three, name the first two and count the others."""
        shown = self.places if len(self.places) <= _MOST_PLACES else self.places[: _MOST_PLACES - 1]
        more = f" and {len(self.places) - len(shown)} other cells" if len(shown) < len(self.places) else ""
        return f"{', '.join(shown)}{more}"

    def case(self) -> str:
        """Name the case, or the test and the number of its cases."""
        return self.first.case if self.cases == 1 else f"{self.first.case.partition('[')[0]} ({self.cases} cases)"

    def line(self) -> str:
        """Return the group as one line: cells, case, and what is wrong with the first case."""
        return f"{self.where()}: {self.case()}: {self.first.told}"


def grouped(troubles: Sequence[Trouble]) -> list[Group]:
    """Group similar troubles; the groups are in the order of their first members."""
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
    """Return a line for each of the first ``most`` groups, and one more line that counts the troubles left out.

    Args:
        troubles: the troubles, before grouping.
        most: largest number of groups.
        elsewhere: end of the last line, which says where the reader finds the rest.
    """
    groups = grouped(troubles)
    lines = [group.line() for group in groups[:most]]
    left = sum(len(group.members) for group in groups[most:])
    return [*lines, f"... and {left} more {elsewhere}".rstrip()] if left else lines

"""Groups expected datagrams that nothing on the wire tells apart, so that each group is compared once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from harness.model.datagram import ExpectedDatagram
from harness.verify.compare import Slot


class Alike:
    """Slots that are equal in every asserted field; they are taken in their order.

    Args:
        place: place of the first one among all slots.
    """

    __slots__ = ("_places", "_slots", "_taken")

    def __init__(self) -> None:
        self._slots: list[Slot] = []
        self._places: list[int] = []
        self._taken = 0

    def add(self, slot: Slot, place: int) -> None:
        """Append a slot; ``place`` is its number among all slots."""
        self._slots.append(slot)
        self._places.append(place)

    @property
    def place(self) -> int:
        """Number of the next slot that is not taken."""
        return self._places[self._taken]

    def next(self) -> Slot | None:
        """The next slot that is not taken; ``None`` when all are."""
        return self._slots[self._taken] if self._taken < len(self._slots) else None

    def take(self) -> None:
        """Take the next slot."""
        self._taken += 1

    def first_taken(self) -> Slot | None:
        """The first slot that was taken; ``None`` when none was."""
        return self._slots[0] if self._taken else None


Key = tuple[bytes, int, bytes]
"""Destination, destination port and payload of a datagram."""


def grouped(slots: Sequence[Slot]) -> dict[Key, list[Alike]]:
    """The groups by what a datagram of any of their forms has as its key, each group in the order of its first slot."""
    groups: dict[Hashable, Alike] = {}
    index: dict[Key, list[Alike]] = {}
    for place, slot in enumerate(slots):
        what = tuple(_asserted(form.expected) for form in slot.forms)
        group = groups.get(what)
        if group is None:
            group = groups[what] = Alike()
            for key in _keys(slot):
                index.setdefault(key, []).append(group)
        group.add(slot, place)
    return index


def _keys(slot: Slot) -> Iterable[Key]:
    keys = ((form.destination, form.expected.destination.port, form.expected.payload) for form in slot.forms)
    return dict.fromkeys(keys)


def _asserted(item: ExpectedDatagram) -> Hashable:
    """All fields that a seen datagram is compared in; the socket's source port is learned, so it counts as one."""
    return (
        item.socket, item.source, item.sources, item.destination, item.source_mac, item.destination_mac, item.payload,
        item.ttl, item.tos, item.dont_fragment, item.checksum, item.layout, item.trailer, frozenset(item.free),
    )  # fmt: skip

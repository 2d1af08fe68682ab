"""Cuts a capture file into one part per case (``Stretch``), by the run's markers; without markers it is one part.

Frames are sorted while the file streams by: datagrams that match a burst's prediction are counted in bulk, the host's
frames are counted, and only frames that must be judged one by one are kept, within a limit. Frames between the end of
one case and the start of the next belong to the next one, which reports them as unexpected. Frames before the first
case, and frames of a guest that was started again (a liveness marker follows them), belong to no case.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from harness.capture import links
from harness.capture.batches import Batch, Flags, Interface
from harness.capture.frames import CapturedFrame
from harness.capture.marker import Edge, Marker, decode, on_wire
from harness.capture.origin import Direction, is_host
from harness.model.carried import Carried, predict_after
from harness.model.datagram import Prediction
from harness.model.site import Site
from harness.trace.trace_lines import Plan
from harness.verify.bulk import Bulk
from harness.verify.columns import firsts
from harness.wsk.operations import Step

MOST_FRAMES = 100_000
"""Largest number of frames that a stretch keeps to be judged one by one."""

_MOST_BYTES = 128 << 20
_MARKER = b"\x88\xb5"
_HEAD = 21  # bytes of an Ethernet frame up to IPv6's next header
_TYPE_AT = {links.ETHERNET: 12, links.COOKED: 14, links.COOKED2: 0}


@dataclass(slots=True)
class Stretch:
    """One case's part of a capture, or the whole file.

    Args:
        case: name of the case; empty for the whole file.
        steps, predictions: the case's steps and the model's predictions for them.
        bulk: matches its bursts and counts the matches.
        started, ended: whether its markers were seen.
        kept: frames that must be judged one by one.
        dropped: number of frames that should have been kept but exceeded the limit.
        set_aside: number of frames that were only counted, by kind.
        first, last: numbers of its first and last frame, 0 for none.
        links: link types of the frames that are not the host's.
        guests: names of the interfaces that recorded frames with the guest's MAC.
        undirected: number of frames without a direction, in a capture that has the direction of its markers.
    """

    case: str
    steps: tuple[Step, ...]
    predictions: tuple[Prediction, ...]
    bulk: Bulk
    started: bool = False
    ended: bool = False
    kept: list[CapturedFrame] = field(default_factory=list)
    dropped: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)
    first: int = 0
    last: int = 0
    links: set[int] = field(default_factory=set)
    guests: set[str] = field(default_factory=set)
    undirected: int = 0

    @property
    def cooked(self) -> bool:
        """True if all its frames come from a Linux cooked capture, which shows no destination MAC."""
        return bool(self.links) and all(links.is_cooked(link) for link in self.links)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which frames of a file are judged, and how.

    Args:
        interface: only frames of the interface of that name or number (from 0); empty for all.
        vlan: only frames tagged for that VLAN, without their tag; ``None`` takes frames as they are.
        bulk: whether bursts may be matched in bulk.
    """

    interface: str = ""
    vlan: int | None = None
    bulk: bool = True


class Splitter:
    """Takes the batches of a file in order and sorts their frames into stretches.

    Args:
        plan: the executed steps.
        site: the lab in which they were executed.
        choice: which frames of the file are judged.
    """

    def __init__(self, plan: Plan, site: Site, choice: Choice) -> None:
        self._site = site
        self._choice = choice
        self._peers = site.peer_macs - {site.guest_mac}
        self._steps: dict[str, list[Step]] = {}
        for step in plan.steps:
            self._steps.setdefault(step.case, []).append(step)
        self.acted = frozenset(self._steps)
        carried = Carried()
        self._before: dict[str, tuple[Step, ...]] = {}
        for case, steps in self._steps.items():
            self._before[case] = carried.before(steps)
            carried.add(steps)
        self.cases = tuple(dict.fromkeys((*self._steps, *(closing.case for closing in plan.closings if closing.case))))
        self.whole = self._new("", plan.steps)
        self.stretches: dict[str, Stretch] = {}
        self.runs: set[bytes] = set()
        self.doubts: list[str] = []
        self.unreadable: Counter[str] = Counter()
        self._outside = 0
        self._between: Stretch | None = None  # frames since the last end marker, until the next case starts
        self.undirected = 0  # frames judged one by one for which the file does not say whether the host sent them
        self._secret = plan.header.markers
        self._directed = False
        self._marker_ways: set[Direction] = set()
        self._first_seen_on: dict[Marker, Interface] = {}
        self._current: Stretch | None = self.whole
        self._bytes = 0

    @property
    def marked(self) -> bool:
        """True if the file holds markers of the run."""
        return bool(self.runs)

    @property
    def mixed(self) -> bool:
        """True if the file says that the host sent some of the cases' markers, and gives no direction for others."""
        return {Direction.UNKNOWN, Direction.OUTBOUND} <= self._marker_ways

    @property
    def outside(self) -> int:
        """Number of frames that belong to no case."""
        return self._outside + (_held(self._between) if self._between is not None else 0)

    def feed(self, batch: Batch) -> None:
        """Take the next frames of the file."""
        start = 0
        for at in np.flatnonzero(self._markers(batch) & self._of_interface(batch)):
            frame = batch.frame(int(at))
            marker = self._own(frame)
            if marker is None:
                continue  # another sender's frame: handle it as any other
            self._frames(batch.part(start, int(at)))
            start = int(at) + 1
            interface = batch.table[int(batch.interface[at])]
            if self._first_seen_on.setdefault(marker, interface) is not interface:
                continue  # a copy, from a capture of several interfaces: it does not start or end the case again
            # The host sends markers. In a capture made elsewhere, such as in the guest, directions mean something else.
            self._directed = frame.direction is Direction.OUTBOUND
            if marker.edge is not Edge.LIVE:
                self._marker_ways.add(frame.direction)
            self._mark(marker)
        self._frames(batch.part(start, len(batch)))

    def _new(self, case: str, steps: tuple[Step, ...]) -> Stretch:
        predictions = predict_after(self._before.get(case, ()), steps, self._site)
        return Stretch(case, steps, predictions, Bulk(predictions, self._site.partial_checksum))

    def _markers(self, batch: Batch) -> Flags:
        places = {_TYPE_AT.get(item.link, -1) for item in batch.table}
        if len(places) == 1:
            at = places.pop()
            return batch.starts_with(at, _MARKER) if at >= 0 else np.zeros(len(batch), dtype=np.bool_)
        result = np.zeros(len(batch), dtype=np.bool_)
        where = np.array([_TYPE_AT.get(item.link, -1) for item in batch.table])[batch.interface]
        for at in places - {-1}:
            result |= (where == at) & batch.starts_with(at, _MARKER)
        return result

    def _own(self, frame: CapturedFrame) -> Marker | None:
        """Decode a frame as a marker of this run; ``None`` for any other frame, such as a forged marker."""
        marker = decode(frame.data)
        if marker is None or frame.direction is Direction.INBOUND or (self._secret and marker.run != self._secret):
            return None
        return marker

    def _mark(self, marker: Marker) -> None:
        if not self.marked:
            self._current = None
        self.runs.add(marker.run)
        if marker.edge is Edge.LIVE:
            if self._between is not None:
                self._outside = self.outside
                self._current = self._between = self._new("", ())
            return
        case = self._case(marker)
        if marker.edge is Edge.START:
            known = self.stretches.get(case)
            if known is not None and known.started and not known.ended:
                self._current = known  # the case continues after its trials, which are cases of their own
                self._precede(known)
                return
            if known is not None and known.started:
                self.doubts.append(f"case {case} starts twice in the capture")
            stretch = self._new(case, tuple(self._steps.get(case, ())))
            stretch.started = True
            self.stretches[case] = self._current = stretch
            self._precede(stretch)
            return
        stretch = self.stretches.setdefault(case, self._new(case, tuple(self._steps.get(case, ()))))
        stretch.ended = stretch is self._current
        # Runs whose plans name no secret for their markers are older: they did not judge frames between cases.
        self._current = self._between = self._new("", ()) if self._secret else None

    def _precede(self, stretch: Stretch) -> None:
        """Add to a case the frames between the end of the previous case and its own start."""
        between, self._between = self._between, None
        if between is None or not between.first:
            return
        stretch.kept += between.kept
        stretch.dropped += between.dropped
        stretch.set_aside += between.set_aside
        stretch.first = stretch.first or between.first
        stretch.last = between.last
        stretch.links |= between.links
        stretch.guests |= between.guests
        stretch.undirected += between.undirected

    def _case(self, marker: Marker) -> str:
        """Return the name of a marker's case: by the marker's name, or else by its number in the plan."""
        if marker.name:
            return next((case for case in self.cases if on_wire(case) == marker.name), marker.name)
        return self.cases[marker.case - 1] if 0 < marker.case <= len(self.cases) else f"number {marker.case}"

    def _frames(self, batch: Batch) -> None:
        """Take frames that have no marker between them."""
        if not len(batch):
            return
        stretch = self._current
        if stretch is None:
            self._outside += len(batch)
            return
        mask = self._chosen(batch)
        if not mask.any():
            return
        stretch.first = stretch.first or batch.first + int(mask.argmax())
        stretch.last = batch.first + len(batch) - 1
        if self._directed:
            stretch.undirected += int((mask & (batch.direction == Direction.UNKNOWN)).sum())
        left = np.flatnonzero(mask)
        bulk = self._choice.bulk and self._choice.vlan is None and stretch.bulk.begun.trackers and mask.all()
        if bulk and not self._imitated(batch):
            taken = stretch.bulk.take(batch)
            if taken.any():
                stretch.links.add(links.ETHERNET)
                stretch.guests.update(_called(batch, int(at)) for at in _used(batch, taken))
                left = np.flatnonzero(~taken)
        for at in left:
            self._one(batch, int(at), stretch)

    def _imitated(self, batch: Batch) -> bool:
        """True if the host sent any of these with the guest's MAC; then all must be judged one by one."""
        hosts: Flags = batch.direction == Direction.OUTBOUND
        return bool(self._directed and hosts.any() and (hosts & batch.starts_with(6, self._site.guest_mac)).any())

    def _of_interface(self, batch: Batch) -> Flags:
        """Mark the frames whose interface was chosen."""
        wanted = np.ones(len(batch), dtype=np.bool_)
        for number in _used(batch, wanted) if self._choice.interface else ():
            if self._choice.interface not in (batch.table[number].name, str(number)):
                wanted &= batch.interface != number
        return wanted

    def _chosen(self, batch: Batch) -> Flags:
        """Mark the frames whose interface was chosen and whose link type can be read; count the unreadable ones."""
        fine = self._of_interface(batch)
        for number in _used(batch, fine):
            item = batch.table[number]
            if not links.is_readable(item.link):
                here = fine & (batch.interface == number)
                fine &= ~here
                self.unreadable[f"{item.name or 'its interface'} is {links.name(item.link)}"] += int(here.sum())
        return fine

    def _one(self, batch: Batch, at: int, stretch: Stretch) -> None:
        """Take one frame that was not matched in bulk."""
        interface = batch.table[int(batch.interface[at])]
        way = Direction(int(batch.direction[at])) if self._directed else Direction.UNKNOWN
        self.undirected += way is Direction.UNKNOWN
        if interface.link == links.ETHERNET:
            start = int(batch.offsets[at])
            head = batch.data[start : start + min(_HEAD, int(batch.captured[at]))].tobytes()
            if is_host(way, head, self._peers) and not _resolves(head):
                stretch.set_aside["host"] += 1
                return
        frame = replace(batch.frame(at), direction=way)
        if self._choice.vlan is not None:
            data = links.untag(frame.data, self._choice.vlan)
            if data is None:
                stretch.set_aside["outside the VLAN"] += 1
                return
            cut = len(frame.data) - len(data)
            frame = replace(frame, data=data, length=frame.length - cut)
        if frame.data[6:12] == self._site.guest_mac:
            stretch.guests.add(_called(batch, int(batch.interface[at])))
        if frame.data[6:12] not in self._peers:
            stretch.links.add(interface.link)
        self._keep(frame)

    def _keep(self, frame: CapturedFrame) -> None:
        stretch = self._current
        if stretch is None:
            self._outside += 1
        elif is_host(frame.direction, frame.data, self._peers) and not _resolves(frame.data):
            stretch.set_aside["host"] += 1
        elif len(stretch.kept) < MOST_FRAMES and self._bytes < _MOST_BYTES:
            self._bytes += len(frame.data)
            stretch.kept.append(frame)
        else:
            stretch.dropped += 1


def _held(stretch: Stretch) -> int:
    """Count the frames in a stretch."""
    return len(stretch.kept) + stretch.dropped + stretch.set_aside.total()


def _resolves(head: bytes) -> bool:
    """True if a frame is ARP or ICMPv6; ``verify.neighbours`` needs the host's answers among these."""
    return head[12:14] == b"\x08\x06" or (head[12:14] == b"\x86\xdd" and head[20:21] == b"\x3a")


def _used(batch: Batch, mask: Flags) -> list[int]:
    """Return the numbers of the interfaces of the frames in a mask."""
    if batch.stride or len(batch.table) == 1:
        return [int(batch.interface[0])]
    present = batch.interface[mask]
    return [int(number) for number in present[firsts(present)]]


def _called(batch: Batch, number: int) -> str:
    """Return an interface's name, with its number if the name is missing or another interface has it, too."""
    name = batch.table[number].name
    if not name:
        return f"number {number}"
    alone = sum(item.name == name for item in batch.table) == 1
    return name if alone else f"{name} (number {number})"

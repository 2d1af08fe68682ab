"""One capture for a whole VM session, from proof of life to proof of record.

It opens and closes cases by markers, joins their frames with tshark's dissection, and checks in the end that the record
on disk holds exactly what was judged. What passes between two cases belongs to the second one. Frames are numbered as
Wireshark numbers them in the record (``capture.pcapng``), which says in the end of each frame whether the host sent it.
Memory grows by nine bytes a frame: only the frames of the latest case are held, and not those of a large one.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.capture import directions, tools
from harness.capture.clock import Clock
from harness.capture.dumpcap import Record
from harness.capture.frames import CapturedFrame, Extent, Integrity, Recorded, is_ip
from harness.capture.marker import Edge, Marker, MarkerSender, decode
from harness.capture.origin import Direction
from harness.capture.tally import Tally
from harness.capture.tap import Tap
from harness.capture.tshark.live import Dissector
from harness.errors import AwaitTimeout, LabError

RECORD = "capture.pcapng"
_MARKER_SECONDS = 5.0
_DISSECTION_SECONDS = 10.0
_DISSECTED_PER_SECOND = 2000.0  # far below tshark's measured 12,000 frames/s
MOST_HELD = 20_000
"""Frames of one case that are held and given to tshark one by one; a case with more is to be read from the record."""


@dataclass(slots=True)
class _Stretch:
    """Where a case lies in the capture: frame numbers of its markers, the frames between them, what was lost.

    ``opened`` is the end marker of the case before, whose following frames belong to this case, too; 0 for none.
    """

    number: int
    lost_before: int
    opened: int = 0
    start: int | None = None
    end: int | None = None
    closed_by: bytes = b""
    lost: int | None = None
    step: str = ""
    extent: Extent = field(default_factory=Extent)
    from_guest: int = 0
    frames: list[CapturedFrame] = field(default_factory=list)


class CaptureSession:
    """A capture of one interface into a folder.

    Args:
        interface: name of the bridge.
        folder: takes ``capture.pcapng`` and the tools' logs.
        mtu: MTU of the interface.
        buffer_mib: size of each kernel buffer in MiB.
        most_held: frames of a case beyond which it is large.
        lost_elsewhere: frames that the kernel lost on the bridge or its ports before anybody could capture them,
            counted from any fixed point in time.
        problems: what makes the whole session doubtful, in words (netfilter on bridges, say).

    ``secret`` (16 bytes) is in every marker of this session, and no guest receives one: a marker without it is the
    guest's frame, as is one that the host did not send.
    """

    def __init__(
        self,
        interface: str,
        folder: Path,
        *,
        mtu: int = 1500,
        buffer_mib: int = 16,
        most_held: int = MOST_HELD,
        lost_elsewhere: Callable[[], int] = lambda: 0,
        problems: Sequence[str] = (),
    ) -> None:
        self._interface = interface
        self._folder = folder
        self._mtu = mtu
        self._buffer_mib = buffer_mib
        self._most_held = most_held
        self._lost_elsewhere = lost_elsewhere
        self._problems = tuple(problems)
        self.secret = os.urandom(16)
        self._directions = bytearray()  # of the frames by number
        self._sequence = 0
        self._cases: dict[str, _Stretch] = {}
        self._open: _Stretch | None = None
        self._held: _Stretch | None = None
        self._between: _Stretch | None = None  # frames since the last end marker, until the next case starts
        self._last_end = 0
        self._lost_before = 0
        self._count = 0
        self._news = threading.Condition()
        self._early: list[CapturedFrame] = []  # until the tap's frames are numbered as the record's
        self._last = 0
        self._marks: dict[Marker, int] = {}
        self._live = False
        self._resources = contextlib.ExitStack()
        self._record: Record | None = None
        self.clock = Clock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def path(self) -> Path:
        """The record."""
        return self._folder / RECORD

    def start(self) -> None:
        """Start capturing and prove by a marker that both the tap and the record see what passes.

        Raises:
            LabError: a tool is missing or gave up.
            AwaitTimeout: the marker did not show up.
        """
        with contextlib.ExitStack() as stack:
            self._sender = MarkerSender(self._interface)
            stack.callback(self._sender.close)
            self._dissector = Dissector(self._interface, self._folder / "tshark.log")
            stack.callback(self._dissector.close)
            self._tap = Tap(self._interface, self._deliver, mtu=self._mtu, buffer=self._buffer_mib << 20)
            stack.callback(self._tap.close)
            self._seen, self._recorded = Tally(self._tap.kept), Tally(self._tap.kept)
            log = self._folder / "dumpcap.log"
            record = Record(self._interface, self.path, log, buffer_mib=self._buffer_mib)
            stack.callback(record.abandon)
            live = self._send(0, Edge.LIVE)
            self._await_mark(live)
            recorded: list[CapturedFrame] = []
            record.read_until(self._sender.encoded(live), _MARKER_SECONDS, recorded.extend)
            self._join(live, recorded)
            self._record = record
            self._resources = stack.pop_all()

    def prove(self) -> dict[str, str]:
        """See that tshark reads as it must; the capture itself was proven by ``start``.

        Returns:
            facts of the cell: what captures and what dissects, with their versions.

        Raises:
            LabError: tshark is silent, or reads known frames otherwise.
        """
        self._dissector.prove(_DISSECTION_SECONDS)
        tshark, dumpcap = (tools.version(tool) or "of an unknown version" for tool in ("tshark", "dumpcap"))
        return {
            "capture": f"dumpcap {dumpcap} and the tap saw the first marker on {self._interface}",
            "dissector": f"tshark {tshark} dissects the frames that prove it",
        }

    def begin(self, case: str) -> None:
        """Open a case by its start marker and see it pass; the frames of the case before are let go.

        Raises:
            LabError: the capture has died.
        """
        # What was lost since the last case counts against this one; asking once per case is enough.
        self._count += 1
        stretch = _Stretch(self._count, self._lost_before if self._cases else self._lost())
        with self._news:
            self._dissector.forget(self._last_end if self._between is not None else self._last)
            if self._held is not None:
                self._held.frames = []
            self._cases[case] = self._open = self._held = stretch
        self._await_mark(self._send(stretch.number, Edge.START, case))

    def end(self, case: str, frames: int | None, seconds: float) -> None:
        """Wait for the case's frames, then close it by its end marker.

        Args:
            case: its name.
            frames: how many IP frames of the guest are awaited; ``None`` waits for the whole time.
            seconds: deadline.

        Raises:
            LabError: the capture has died.
        """
        stretch = self._stretch(case)
        deadline = time.monotonic() + seconds
        with self._news:
            while (frames is None or stretch.from_guest < frames) and (left := deadline - time.monotonic()) > 0:
                self._news.wait(left)
        marker = self._send(stretch.number, Edge.END, case)
        self._await_mark(marker)
        stretch.closed_by = self._sender.encoded(marker)
        stretch.step = self.clock.step()
        self._lost_before = self._lost()
        stretch.lost = self._lost_before - stretch.lost_before

    def restarted(self) -> None:
        """Note by a marker that the guest or its driver was started again: what it sent in that time is of no case.

        Raises:
            LabError: the capture has died.
        """
        self._await_mark(self._send(0, Edge.LIVE))

    def extent(self, case: str) -> Extent:
        """Where the case lies in the record, once it is closed."""
        return self._stretch(case).extent

    def frames(self, case: str) -> Sequence[CapturedFrame]:
        """The frames between the case's markers with tshark's dissection, markers left out.

        Raises:
            LabError: the case is not closed, it is large or was followed by another one, or tshark died or hangs.
        """
        stretch = self._stretch(case)
        if stretch.end is None:
            raise LabError(f"the capture of {case} is not closed yet")
        if stretch.extent.large or stretch is not self._held:
            raise LabError(f"the frames of {case} are not held any more: they are in {self.path}")
        self._dissector.await_number(stretch.end, _DISSECTION_SECONDS + len(stretch.frames) / _DISSECTED_PER_SECOND)
        return [replace(frame, dissection=self._dissector.get(frame.number)) for frame in stretch.frames]

    def recorded(self, case: str) -> Recorded:
        """Where to find a case in the record, once it is whole there.

        Raises:
            LabError: the case is not closed, or its end does not reach the record.
        """
        stretch = self._stretch(case)
        if self._record is None or stretch.start is None or not stretch.closed_by:
            raise LabError(f"the capture of {case} is not closed yet")
        self._record.read_until(stretch.closed_by, _MARKER_SECONDS, self._recorded.add)
        return Recorded(self.path, stretch.opened or stretch.start, self.secret, bytes(self._directions))

    def integrity(self, case: str) -> Integrity:
        """Whether the case's stretch can be trusted.

        While the record is still being written that is what is known so far; after ``stop`` it includes what ``stop``
        found.
        """
        problems = list(self._problems)
        if self._record is not None:
            try:
                self._record.require_alive()
            except LabError as error:
                problems.append(error.what)
        stretch = self._cases.get(case)
        if stretch is not None and stretch.step:
            problems.append(stretch.step)
        if stretch is None:
            return Integrity(started=False, ended=False, dropped=None, problems=tuple(problems))
        return Integrity(stretch.start is not None, stretch.end is not None, stretch.lost, tuple(problems))

    def stop(self) -> Integrity:
        """End the capture and hold the record against everything that was judged.

        Returns:
            Integrity of the whole session: losses of the record and every difference between it and the tap.
        """
        if self._record is None:
            return Integrity(started=False, ended=False, dropped=None, problems=("the capture never started",))
        record, self._record = self._record, None
        problems = list(self._problems)
        lost: int | None = None
        try:
            marker = self._send(0, Edge.LIVE)
            self._await_mark(marker)
            # What is still in dumpcap's ring when it is ended is lost, so the last marker must reach the file first.
            end = self._sender.encoded(marker)
            record.read_until(end, _MARKER_SECONDS, self._recorded.add)
            lost_live = self._lost()
            rest, lost_record = record.finish()
            self._recorded.add(rest)
            differences = self._recorded.up_to(end).differences(self._seen.up_to(end))
            problems += differences
            if not differences:  # else nobody knows which frame is which
                directions.write(self.path, self._directions[: self._marks[marker]])
            lost = None if lost_record is None else lost_live + lost_record
        except LabError as error:
            problems.append(error.what)
        finally:
            self._resources.close()  # ends dumpcap too where finish() did not
            self._problems = tuple(problems)
        return Integrity(started=True, ended=True, dropped=lost, problems=tuple(problems))

    def _stretch(self, case: str) -> _Stretch:
        if case not in self._cases:
            raise LabError(f"the capture knows no case {case}")
        return self._cases[case]

    def _lost(self) -> int:
        return self._tap.dropped() + self._lost_elsewhere()

    def _send(self, case: int, edge: Edge, name: str = "") -> Marker:
        self._sequence += 1
        marker = Marker(self.secret, case, edge, self._sequence, name)
        self._sender.send(marker)
        return marker

    def _await_mark(self, marker: Marker) -> int:
        """Frame number of a marker that was sent."""
        deadline = time.monotonic() + _MARKER_SECONDS
        with self._news:
            while marker not in self._marks:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._tap.dropped()  # raises when the tap has failed, which says more
                    raise AwaitTimeout(f"the marker frame on {self._interface}", _MARKER_SECONDS)
                self._news.wait(left)
            return self._marks[marker]

    def _deliver(self, fresh: list[CapturedFrame]) -> None:
        """Take frames from the tap (on its thread)."""
        with self._news:
            fresh = [replace(frame, number=number) for number, frame in enumerate(fresh, self._last + 1)]
            self._last += len(fresh)
            told = [frame for frame in fresh if self._sort(frame)]
            if self._live:
                self._seen.add(fresh)
                self._directions.extend(frame.direction for frame in fresh)
                self._dissector.feed(told)
            else:
                self._early += fresh
            self._news.notify_all()

    def _sort(self, frame: CapturedFrame) -> bool:
        """Note one of our markers, or give any other frame to the case that is open; whether tshark is to see it."""
        found = decode(frame.data) if frame.direction is Direction.OUTBOUND else None
        stretch = self._open
        if found is None or found.run != self.secret:
            taker = self._between if stretch is None or stretch.start is None else stretch
            return taker is None or self._give(taker, frame)
        self._marks[found] = frame.number
        if found.edge is Edge.LIVE and self._between is not None:
            self._between = _Stretch(0, 0)
        if stretch is not None and found.case == stretch.number:
            if found.edge is Edge.START:
                stretch.start = frame.number
                if self._between is not None:
                    stretch.opened = self._last_end
                    stretch.extent, stretch.frames = self._between.extent, self._between.frames
                    self._between = None
            elif found.edge is Edge.END:
                stretch.end = self._last_end = frame.number
                self._open, self._between = None, _Stretch(0, 0)
        return True

    def _give(self, stretch: _Stretch, frame: CapturedFrame) -> bool:
        """Count a frame of a case, and hold it unless the case is large; whether it is held."""
        extent = stretch.extent
        inbound = frame.direction is Direction.INBOUND
        guest_ns = frame.time_ns if inbound else extent.guest_ns
        stretch.from_guest += inbound and is_ip(frame.data)
        large = extent.large or len(stretch.frames) >= self._most_held
        stretch.extent = Extent(extent.first or frame.number, frame.number, guest_ns, large)
        if not large:
            stretch.frames.append(frame)
        elif not extent.large:
            stretch.frames = []
            self._dissector.forget(frame.number)
        return not large

    def _join(self, live: Marker, recorded: list[CapturedFrame]) -> None:
        """Number frames as the record does: up to the liveness marker its frames count, from then on the tap's."""
        with self._news:
            tapped = self._marks[live]
            later = self._early[tapped:]
            at = next(index for index, frame in enumerate(recorded) if decode(frame.data) == live)
            first = _directed(recorded[: at + 1], self._early[:tapped])
            joined = [replace(frame, number=number) for number, frame in enumerate([*first, *later], 1)]
            self._directions.extend(frame.direction for frame in joined)
            self._recorded.add(recorded)
            self._seen.add(joined)
            self._marks = {live: at + 1}
            self._last = len(joined)
            self._early = []
            self._live = True
            self._dissector.feed(joined)


def _directed(recorded: Sequence[CapturedFrame], tapped: Sequence[CapturedFrame]) -> list[CapturedFrame]:
    """The record's frames with the directions of the tap's; both end with the same frame, and may begin differently."""
    out = list(recorded)
    for back in range(1, min(len(recorded), len(tapped)) + 1):
        if recorded[-back].data != tapped[-back].data:
            break
        out[-back] = replace(recorded[-back], direction=tapped[-back].direction)
    return out

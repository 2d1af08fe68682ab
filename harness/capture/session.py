"""One capture for a whole VM session, from proof of life to proof of record.

It opens and closes cases by markers, joins their frames with tshark's dissection, and checks in the end that the record
on disk holds exactly what was judged. Frames are numbered as Wireshark numbers them in the record (``capture.pcapng``).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.capture.clock import Clock
from harness.capture.dissect import Dissector
from harness.capture.dumpcap import Record
from harness.capture.frames import CapturedFrame, Integrity
from harness.capture.marker import Edge, Marker, MarkerSender, decode
from harness.capture.tap import Tap
from harness.errors import AwaitTimeout, LabError

RECORD = "capture.pcapng"
_MARKER_SECONDS = 5.0
_DISSECTION_SECONDS = 10.0
_DISSECTED_PER_SECOND = 2000.0  # far below tshark's measured 12,000 frames/s


@dataclass(slots=True)
class _Stretch:
    """Where a case lies in the capture: frame numbers of its markers, the frames between them, what was lost."""

    number: int
    lost_before: int
    start: int | None = None
    end: int | None = None
    lost: int | None = None
    step: str = ""
    frames: list[CapturedFrame] = field(default_factory=list)


class CaptureSession:
    """A capture of one interface into a folder.

    Args:
        interface: name of the bridge.
        folder: takes ``capture.pcapng`` and the tools' logs.
        mtu: MTU of the interface.
        buffer_mib: size of each kernel buffer in MiB.
        lost_elsewhere: frames that the kernel lost on the bridge or its ports before anybody could capture them,
            counted from any fixed point in time.
        problems: what makes the whole session doubtful, in words (netfilter on bridges, say).
    """

    def __init__(
        self,
        interface: str,
        folder: Path,
        *,
        mtu: int = 1500,
        buffer_mib: int = 16,
        lost_elsewhere: Callable[[], int] = lambda: 0,
        problems: Sequence[str] = (),
    ) -> None:
        self._interface = interface
        self._folder = folder
        self._mtu = mtu
        self._buffer_mib = buffer_mib
        self._lost_elsewhere = lost_elsewhere
        self._problems = tuple(problems)
        self._run = os.urandom(16)
        self._sequence = 0
        self._cases: dict[str, _Stretch] = {}
        self._open: _Stretch | None = None
        self._lost_before = 0
        self._count = 0
        self._news = threading.Condition()
        self._frames: list[CapturedFrame] = []
        self._marks: dict[Marker, int] = {}
        self._live = False
        self._recorded: list[CapturedFrame] = []
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
            log = self._folder / "dumpcap.log"
            record = Record(self._interface, self.path, log, buffer_mib=self._buffer_mib)
            stack.callback(record.abandon)
            live = self._send(0, Edge.LIVE)
            self._await_mark(live)
            self._recorded = record.read_until(self._frames[self._marks[live] - 1].data, _MARKER_SECONDS)
            self._join(live)
            self._record = record
            self._resources = stack.pop_all()

    def begin(self, case: str) -> None:
        """Open a case by its start marker and see it pass.

        Raises:
            LabError: the capture has died.
        """
        # What was lost since the last case counts against this one; asking once per case is enough.
        self._count += 1
        stretch = _Stretch(self._count, self._lost_before if self._cases else self._lost())
        self._cases[case] = self._open = stretch
        self._await_mark(self._send(stretch.number, Edge.START, case))

    def wait(self, case: str, enough: Callable[[Sequence[CapturedFrame]], bool], seconds: float) -> bool:
        """Wait until ``enough`` holds for the frames of the case so far, raw; false when the time is up first."""
        stretch = self._stretch(case)
        deadline = time.monotonic() + seconds
        with self._news:
            while not enough(stretch.frames):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._news.wait(left)
        return True

    def end(self, case: str, enough: Callable[[Sequence[CapturedFrame]], bool], seconds: float) -> None:
        """Wait until ``enough`` holds for the case's frames or the time is up, then close it by its end marker.

        Raises:
            LabError: the capture has died.
        """
        self.wait(case, enough, seconds)
        stretch = self._stretch(case)
        self._await_mark(self._send(stretch.number, Edge.END, case))
        stretch.step = self.clock.step()
        self._lost_before = self._lost()
        stretch.lost = self._lost_before - stretch.lost_before

    def frames(self, case: str) -> Sequence[CapturedFrame]:
        """The frames between the case's markers with tshark's dissection, markers left out.

        Raises:
            LabError: the case is not closed, or tshark died or hangs.
        """
        stretch = self._stretch(case)
        if stretch.end is None:
            raise LabError(f"the capture of {case} is not closed yet")
        self._dissector.await_number(stretch.end, _DISSECTION_SECONDS + len(stretch.frames) / _DISSECTED_PER_SECOND)
        return [replace(frame, dissection=self._dissector.get(frame.number)) for frame in stretch.frames]

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
            last = self._await_mark(self._send(0, Edge.LIVE))
            # What is still in dumpcap's ring when it is ended is lost, so the last marker must reach the file first.
            self._recorded += record.read_until(self._frames[last - 1].data, _MARKER_SECONDS)
            lost_live = self._lost()
            rest, lost_record = record.finish()
            self._recorded += rest
            end = self._frames[last - 1].data
            at = next(index for index, frame in enumerate(self._recorded, 1) if frame.data == end)
            problems += differences(self._recorded[:at], self._frames[:last], self._tap.kept)
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
        marker = Marker(self._run, case, edge, self._sequence, name)
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
            first = len(self._frames) + 1
            fresh = [replace(frame, number=number) for number, frame in enumerate(fresh, first)]
            self._frames += fresh
            for frame in fresh:
                self._sort(frame)
            if self._live:
                self._dissector.feed(fresh)
            self._news.notify_all()

    def _sort(self, frame: CapturedFrame) -> None:
        """Note one of our markers, or give any other frame to the case that is open."""
        found = decode(frame.data)
        stretch = self._open
        if found is None or found.run != self._run:
            if stretch is not None and stretch.start is not None:
                stretch.frames.append(frame)
            return
        self._marks[found] = frame.number
        if stretch is not None and found.case == stretch.number:
            if found.edge is Edge.START:
                stretch.start = frame.number
            elif found.edge is Edge.END:
                stretch.end = frame.number
                self._open = None

    def _join(self, live: Marker) -> None:
        """Number frames as the record does: up to the liveness marker its frames count, from then on the tap's."""
        with self._news:
            later = self._frames[self._marks[live] :]
            at = next(index for index, frame in enumerate(self._recorded) if decode(frame.data) == live)
            joined = [*self._recorded[: at + 1], *later]
            self._frames = [replace(frame, number=number) for number, frame in enumerate(joined, 1)]
            self._marks = {live: at + 1}
            self._live = True
            self._dissector.feed(self._frames)


def differences(recorded: Sequence[CapturedFrame], seen: Sequence[CapturedFrame], kept: int) -> list[str]:
    """How the record differs from what the tap saw, in words; empty when they agree frame by frame.

    Args:
        recorded: frames of the record.
        seen: frames of the tap.
        kept: bytes of a frame that the tap keeps; more are not compared.
    """
    in_record = [(frame.length, frame.data[:kept]) for frame in recorded]
    on_tap = [(frame.length, frame.data[:kept]) for frame in seen]
    if in_record == on_tap:
        return []
    only_recorded, only_seen = Counter(in_record) - Counter(on_tap), Counter(on_tap) - Counter(in_record)
    if not only_recorded and not only_seen:
        return ["the record holds the same frames as the live capture in another order"]
    counts = [(only_seen.total(), "missing in the record"), (only_recorded.total(), "only in the record")]
    return [f"{count} frame{'s' if count > 1 else ''} {what}" for count, what in counts if count]

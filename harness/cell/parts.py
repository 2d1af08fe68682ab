"""What a session asks of the driver under test, of the host peers and of the capture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.capture.frames import CapturedFrame, Extent, Integrity, Recorded
from harness.wsk.operations import Accounts, Operation, Outcome
from harness.wsk.types import Endpoint


class DriverUnderTest(Protocol):
    """What a session asks of a driver; ours and an adapter to anybody else's both give it."""

    def execute(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Carry them out in order. Raises Failure when the driver is at fault, LabError when the way to it is."""

    def accounts(self) -> Accounts | None:
        """The driver's own books, or None for a driver that keeps none."""


class PeerSender(Protocol):
    """What a session asks of the host peers."""

    def send(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        """Send one datagram to the guest. Raises LabError."""


class Capture(Protocol):
    """What a session asks of the capture."""

    def begin(self, case: str) -> None:
        """Put the start marker on the bridge and see it in the file."""

    def end(self, case: str, frames: int | None, seconds: float) -> None:
        """Wait for so many IP frames of the guest or until the time is up, then put the end marker."""

    def restarted(self) -> None:
        """The guest or its driver was started again: what the guest sent since the last case belongs to none."""

    def extent(self, case: str) -> Extent:
        """Where the closed case lies in the record, and whether it is large."""

    def frames(self, case: str) -> Sequence[CapturedFrame]:
        """The frames between the case's markers, with tshark's dissection; not those of a large case."""

    def recorded(self, case: str) -> Recorded:
        """Where to find the case in the record, once it is whole there."""

    def integrity(self, case: str) -> Integrity:
        """Whether the case's stretch of the capture can be trusted."""

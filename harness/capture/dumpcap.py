"""Keeps the record of a session: dumpcap writing a pcapng file; the only module that starts dumpcap.

The file is complete only when dumpcap has ended: until then its tail is up to 0.25 s behind the wire, since dumpcap
writes to its standard output. A file that it opens itself it keeps up to 0.75 s behind (measured, dumpcap 4.0).
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

from harness import children
from harness.capture.frames import CapturedFrame
from harness.capture.pcapng import PcapngReader
from harness.errors import LabError
from harness.files import removal
from harness.lab.growth import Growth
from harness.lab.process import Child

MOST_KB = 8_000_000
"""Size of a record, in units of 1000 bytes, at which dumpcap ends: a flood must not fill the disk."""

_LOSS = re.compile(r"Packets received/dropped on interface .*?: (\d+)/(\d+)")


class Record:
    """A running dumpcap and its file.

    Args:
        interface: name of the interface to capture on.
        path: pcapng file to write; replaced when it exists.
        log: file that takes dumpcap's messages.
        buffer_mib: size of the kernel's buffer in MiB.
        seconds: deadline for readiness.

    Raises:
        LabError: dumpcap is not installed or gave up.
        AwaitTimeout: the file stayed empty. (Frames sent once it is not empty are not lost; measured.)
    """

    def __init__(self, interface: str, path: Path, log: Path, *, buffer_mib: int = 16, seconds: float = 10.0) -> None:
        self.path = path
        removal.remove(path)  # its old content, if it is open somewhere, stays as it is
        argv = ["dumpcap", "-q", "-i", interface, "-B", str(buffer_mib), "-n", "-a", f"filesize:{MOST_KB}", "-w", "-"]
        with Growth(path) as growth:
            self._child = Child(
                "the capture (dumpcap)", argv, log, into=path, environment=children.wireshark_environment()
            )
            try:
                growth.until(self._ready, "dumpcap to begin its file", seconds, detail=self._child.tail)
                self._reader = PcapngReader(path)
            except BaseException:
                self._child.end()
                raise

    def _ready(self) -> bool | None:
        self._child.require_alive()
        return True if self.path.exists() and self.path.stat().st_size > 0 else None

    def require_alive(self) -> None:
        """Raise LabError when dumpcap has ended by itself, as it does at the limit of the file's size."""
        if self._child.exit_code is not None:
            self._require_room()
        self._child.require_alive()

    def _require_room(self) -> None:
        size = self.path.stat().st_size
        if size >= MOST_KB * 1000:
            what = f"{self.path} reached its limit of {MOST_KB / 1e6:g} GB, where the capture ended"
            raise LabError(what, mend="find what floods the bridge, or run the suite in shards")

    def read_until(self, found: bytes, seconds: float, take: Callable[[list[CapturedFrame]], None]) -> None:
        """Read until a frame with exactly these bytes has been read, by inotify.

        Args:
            found: bytes of the frame.
            seconds: deadline.
            take: gets all frames read, that frame and what came with it included, a batch at a time.

        Raises:
            AwaitTimeout: the frame did not reach the file in time.
        """

        def probe() -> bool | None:
            self.require_alive()
            there = None
            for frames in self._reader.batches():
                take(frames)
                if any(frame.data == found for frame in frames):
                    there = True
            return there

        with Growth(self.path) as growth:
            growth.until(probe, f"the marker frame in {self.path.name}", seconds, detail=self._child.tail)

    def finish(self) -> tuple[list[CapturedFrame], int | None]:
        """End dumpcap and read the rest of the file.

        Returns:
            The frames that ``read_until`` did not give yet, and the number of frames lost: by the file's statistics
            block or dumpcap's last words, whichever says more; ``None`` when neither says.

        Raises:
            LabError: dumpcap had died, or the file ends in the middle of a block.
        """
        died = self._child.exit_code is not None
        code = self._child.end(signal.SIGINT)
        frames = self._reader.read()
        incomplete = self._reader.incomplete
        known = [self._reader.dropped, *(int(match[2]) for match in _LOSS.finditer(self._child.output()))]
        self._reader.close()
        if died:
            self._require_room()
        if died or code != 0:
            raise LabError("dumpcap died during the session: the capture file cannot vouch", detail=self._child.tail())
        if incomplete:
            raise LabError(f"{self.path} ends in the middle of a block: the capture file cannot vouch")
        return frames, max((count for count in known if count is not None), default=None)

    def abandon(self) -> None:
        """End dumpcap without asking what it has to say."""
        self._child.end(signal.SIGINT)
        self._reader.close()

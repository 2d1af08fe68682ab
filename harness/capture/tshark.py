"""Asks tshark about a capture file: the dissection of its frames in one pass, or one frame in full for a person.

The same options and the same reading of the answer as for a live capture (``dissect``), so a file gets the verdict that
the run got.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import Path

from harness.capture import pcapng
from harness.capture.dissect import ARGUMENTS, dissection
from harness.capture.frames import CapturedFrame, Dissection
from harness.errors import LabError

_LONGEST_LINE = 8 << 20
_MOST_TEXT = 20_000


def find() -> str:
    """Path of tshark; empty when it is not installed."""
    return shutil.which(ARGUMENTS[0]) or ""


def dissect_file(path: Path, wanted: Container[int]) -> dict[int, Dissection]:
    """What tshark says of the frames of a file whose numbers are wanted.

    What it says too strangely to be read is left out, as if it had said nothing. A file that is damaged is read as far
    as tshark gets.

    Raises:
        LabError: tshark is not installed.
    """
    known: dict[int, Dissection] = {}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            _arguments("-r", str(path)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        )
        assert process.stdout is not None
        try:
            while line := process.stdout.readline(_LONGEST_LINE):
                if line.startswith(b'{"timestamp'):
                    _note(line, wanted, known)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    return known


def dissect_frames(frames: Iterable[CapturedFrame]) -> dict[int, Dissection]:
    """What tshark says of some frames of a capture, which keep their own numbers.

    Raises:
        LabError: tshark is not installed.
    """
    with tempfile.NamedTemporaryFile(prefix="harness-", suffix=".pcapng") as file:
        numbers = [0]
        file.write(pcapng.section("frames"))
        for frame in frames:
            file.write(pcapng.packet(frame))
            numbers.append(frame.number)
        file.flush()
        if len(numbers) == 1:
            return {}
        known = dissect_file(Path(file.name), range(1, len(numbers)))
    return {numbers[at]: _renumbered(item, numbers) for at, item in known.items()}


def show(frame: CapturedFrame, seconds: float = 20.0) -> str:
    """One frame in full, as ``tshark -V`` prints it; empty when tshark is not there or has nothing to say."""
    if not find():
        return ""
    data = pcapng.section("frame") + pcapng.packet(frame)
    options = [item for item in _arguments("-r", "-", "-V") if item not in ("-T", "ek", "-l")]
    at = options.index("-J")
    del options[at : at + 2]
    try:
        done = subprocess.run(options, input=data, capture_output=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = done.stdout.decode(errors="replace").strip()
    return text[:_MOST_TEXT]


def _arguments(*instead: str) -> list[str]:
    """The options of the live dissector with another input."""
    path = find()
    if not path:
        raise LabError("tshark is not installed", mend="install it (apt install tshark), or use --reader fast")
    at = ARGUMENTS.index("-r")
    return [path, *ARGUMENTS[1:at], *instead, *ARGUMENTS[at + 2 :]]


def _note(line: bytes, wanted: Container[int], known: dict[int, Dissection]) -> None:
    try:
        number, said = dissection(line)
    except Exception:  # whatever a hostile frame makes of tshark's answer: nothing was said that could be used
        return
    if number in wanted:
        known[number] = said


def _renumbered(item: Dissection, numbers: list[int]) -> Dissection:
    if not item.reassembled_from:
        return item
    return replace(item, reassembled_from=tuple(numbers[at] for at in item.reassembled_from if at < len(numbers)))

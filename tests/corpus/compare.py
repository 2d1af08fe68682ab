"""Holds our readers against tshark over any folder of captures: ``python -m tests.corpus.compare FOLDER``.

Of each file: whether it can be read to its end, each frame's number, lengths, time and frame check sequence, and what
tshark says of each UDP datagram. One line with the first difference for each file that differs, and exit code 1. What
Wireshark reads besides pcap and pcapng must be refused with the advice to convert it.
"""

from __future__ import annotations

import bz2
import lzma
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from harness import children
from harness.capture import links
from harness.capture.files import CaptureFile
from harness.capture.frames import CapturedFrame
from harness.capture.tshark import one_pass
from harness.errors import UsageError
from harness.verify.agree import agree
from harness.verify.parse import dissect

_FIELDS = ("frame.number", "frame.len", "frame.cap_len", "frame.time_epoch", "eth.fcs")
_SECONDS = 300.0
_FINE_UNITS = 1_000_000_000  # tshark's arithmetic overflows for finer time stamps
_LATEST = 1 << 62
_FOREIGN = "is neither a pcap nor a pcapng file"
_NO_SUCH_LINK = "network type"
_SILENT = "custom block of Netflix"  # where tshark stops without a word


@dataclass(frozen=True, slots=True)
class Row:
    """A frame as a reader shows it.

    Args:
        number: as Wireshark counts.
        length: bytes on the wire, with the frame check sequence.
        captured: bytes in the file; ours are without the frame check sequence.
        time: nanoseconds since the epoch; ``None`` where nobody can compare it.
        fcs: bytes of frame check sequence.
    """

    number: int
    length: int
    captured: int
    time: int | None
    fcs: int

    def __str__(self) -> str:
        return f"frame {self.number}: {self.length} bytes, {self.captured} captured, time {self.time}, FCS {self.fcs}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader makes of a file: its frames, and why it could not be read or not to its end (empty if it was)."""

    rows: tuple[Row, ...]
    refused: str = ""
    damage: str = ""
    frames: tuple[CapturedFrame, ...] = ()
    skipped: frozenset[int] = frozenset()


def ours(path: Path) -> Reading:
    """Our reading."""
    rows: list[Row] = []
    frames: list[CapturedFrame] = []
    try:
        with CaptureFile(path) as file:
            for batch in file.batches():
                for at in range(len(batch)):
                    interface = batch.table[int(batch.interface[at])]
                    frame, check = batch.frame(at), int(batch.fcs[at])
                    captured, length = int(batch.captured[at]), int(batch.original[at]) + check
                    sane = interface.units <= _FINE_UNITS and 0 <= frame.time_ns < _LATEST
                    rows.append(Row(frame.number, length, captured, frame.time_ns if sane else None, check))
                    if links.is_readable(interface.link):
                        frames.append(frame)
            numbers = frozenset(row.number for row in rows)
            skipped = frozenset(range(1, file.frames + 1)) - numbers
            return Reading(tuple(rows), "", file.damage, tuple(frames), skipped)
    except UsageError as error:
        return Reading((), error.what)


def theirs(path: Path) -> Reading:
    """Tshark's reading."""
    fields = [word for name in _FIELDS for word in ("-e", name)]
    done = subprocess.run(
        [one_pass.find(), "-n", "-r", str(path.absolute()), "-T", "fields", *fields],
        env=children.wireshark_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    rows = tuple(_row(line) for line in done.stdout.decode(errors="replace").splitlines() if line.strip())
    said = [
        line for line in done.stderr.decode(errors="replace").splitlines() if "as user" not in line and line.strip()
    ]
    wrong = " ".join(said) if done.returncode else ""
    return Reading(rows, "" if rows else wrong, wrong if rows else "")


def _row(line: str) -> Row:
    number, length, captured, time, fcs = (*line.split("\t"), "", "", "", "")[:5]
    seconds, _, fraction = time.partition(".")
    sound = seconds.isdigit() and len(fraction) == 9  # more digits: microseconds above a million
    whole = int(seconds) * 1_000_000_000 + int(fraction) if sound else None
    return Row(int(number), int(length), int(captured), whole, 4 if fcs else 0)


def difference(path: Path) -> str:
    """The first thing in which the readings of a file differ; empty when they are one."""
    mine, other = ours(path), theirs(path)
    if mine.refused:
        if _FOREIGN in mine.refused or mine.refused.endswith("is empty") or (other.refused and not other.rows):
            return ""
        return f"tshark reads {len(other.rows)} frames; we do not: {mine.refused}"
    if other.refused:
        if mine.damage or (_NO_SUCH_LINK in other.refused and not mine.frames):
            return f"tshark refuses it, and we read {mine.rows[0]}" if mine.rows and mine.damage else ""
        return f"tshark refuses it, and we read {len(mine.rows)} frames: {other.refused}"
    known = [row for row in other.rows if row.number not in mine.skipped]
    for here, there in zip_longest(mine.rows, known):
        if here is None or there is None or not _same(here, there):
            return f"we have {here or 'no frame'}; tshark has {there or 'no frame'}"
    if bool(mine.damage) != bool(other.damage) and _SILENT not in mine.damage:
        return f"the end: {mine.damage or 'sound'}; tshark: {other.damage or 'sound'}"
    return _meaning(path, mine)


def _same(here: Row, there: Row) -> bool:
    if here.time is None or there.time is None:
        here, there = replace(here, time=None), replace(there, time=None)
    # tshark shows no frame check sequence of a frame that is cut short, and guesses one where the file does not say.
    is_whole = there.captured >= there.length
    captured = min(there.captured, there.length - here.fcs) if here.fcs else there.captured
    check = there.fcs if here.fcs and is_whole else here.fcs
    return here == replace(there, captured=captured, fcs=check)


def _meaning(path: Path, mine: Reading) -> str:
    """The first datagram of which tshark says something else than we do."""
    whole = [frame for frame in mine.frames if frame.length <= len(frame.data)]
    if len(whole) < len(mine.frames):
        return ""  # fragments of which one is cut are put together by neither
    datagrams = dissect(whole).datagrams
    said = one_pass.dissect_file(path, {seen.frame for seen in datagrams})
    known = {frame.number: replace(frame, dissection=said.get(frame.number)) for frame in whole}
    return next(iter(agree(datagrams, known).doubts), "")


def captures(folder: Path) -> Iterator[Path]:
    """All files below a folder, in their order by name."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def compare(path: Path) -> str:
    """``difference``, for what tshark does not uncompress by way of an uncompressed copy."""
    head = path.open("rb").read(6)
    opener = bz2.open if head.startswith(b"BZh") else lzma.open if head.startswith(b"\xfd7zXZ") else None
    if opener is None:
        return difference(path)
    with tempfile.NamedTemporaryFile() as copy, opener(path) as source:
        copy.write(source.read())
        copy.flush()
        return difference(Path(copy.name))


def main(arguments: list[str]) -> int:
    """Compare each file of the folders; 1 when one differs, 2 when there is nothing to compare."""
    if not arguments or not one_pass.find():
        print("usage: python -m tests.corpus.compare FOLDER..., with tshark installed", file=sys.stderr)
        return 2
    counts: Counter[str] = Counter()
    for folder in arguments:
        for path in captures(Path(folder)):
            try:
                found = compare(path)
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
            counts["differ" if found else "agree"] += 1
            if found:
                print(f"{path}: {found}"[:400].replace("\n", " "), flush=True)
    print(f"{counts['agree']} files agree, {counts['differ']} differ")
    return 1 if counts["differ"] else 0 if counts else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

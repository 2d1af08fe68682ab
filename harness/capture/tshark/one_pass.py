"""Asks tshark about a capture file: the dissection of its frames in one pass, or one frame in full for a person.

The same dissection options as for a live capture (``dissect``), so a file gets the verdict that the run got; the answer
comes as fields instead of JSON, which is quicker and bears strange frames and time stamps better.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from harness import children
from harness.capture import pcapng
from harness.capture.frames import CapturedFrame, Checksum, Dissection
from harness.capture.watchdog import Watchdog
from harness.errors import LabError

_OPTIONS = (
    *("-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"),
    *("-o", "ip.defragment:TRUE", "-o", "ipv6.defragment:TRUE"),
    *("-d", "udp.port==0-65535,data"),
)
_FAULTS = {
    "fragment.overlap": "fragments overlap",
    "fragment.overlap.conflict": "overlapping fragments differ",
    "fragment.multipletails": "more than one last fragment",
    "fragment.toolongfragment": "a fragment reaches past the end",
}
_FIELDS = (
    *("frame.number", "frame.protocols", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "udp.srcport", "udp.dstport"),
    *("udp.payload", "ip.checksum.status", "udp.checksum.status", "ip.fragment", "ipv6.fragment"),
    *("ip.fragment.error", "ipv6.fragment.error", "_ws.expert.severity", "_ws.expert.message"),
    *(f"ip.{name}" for name in _FAULTS),
    *(f"ipv6.{name}" for name in _FAULTS),
)
_BETWEEN, _WITHIN = b"\x1e", b"\x1f"

# tshark's proto.h: PROTO_CHECKSUM_E_*; PI_SEVERITY_MASK.
_CHECKSUM = {"0": Checksum.BAD, "1": Checksum.GOOD, "2": Checksum.UNVERIFIED, "3": Checksum.ABSENT}
_SEVERITY = {"1048576": "comment", "2097152": "chat", "4194304": "note", "6291456": "warning", "8388608": "error"}
_LONGEST_LINE = 8 << 20
SILENCE_SECONDS = 120.0
_MOST_TEXT = 8_000
_FRAME = re.compile(r"^Frame (\d+): \d+ bytes on wire", re.MULTILINE)
_LATEST = 1 << 63  # nanoseconds; what a file says may be far beyond


def reads(compression: str) -> bool:
    """Whether tshark reads a file with that compression by itself."""
    return compression in ("", "gzip", "zstd", "lz4")


def find() -> str:
    """Path of tshark; empty when it is not installed."""
    return children.find("tshark") or ""


def dissect_file(path: Path, wanted: Container[int]) -> dict[int, Dissection]:
    """What tshark says of the frames of a file whose numbers are wanted.

    A line that cannot be read is left out, as if it had not been said. A file that is damaged is read as far as tshark
    gets.

    Raises:
        LabError: tshark is not installed, or said nothing of a further frame for ``SILENCE_SECONDS``.
    """
    known: dict[int, Dissection] = {}
    fields = [word for name in _FIELDS for word in ("-e", name)]
    form = ("-E", f"separator={_BETWEEN.decode()}", "-E", f"aggregator={_WITHIN.decode()}", "-E", "occurrence=a")
    arguments = [_tshark(), "-n", "-r", str(path.absolute()), *_OPTIONS, "-T", "fields", *form, *fields]
    process = children.start(
        arguments,
        environment=children.wireshark_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=1 << 20,
    )
    assert process.stdout is not None
    watch = Watchdog(process.kill, SILENCE_SECONDS)
    try:
        last = 0
        while line := process.stdout.readline(_LONGEST_LINE):
            number, _, rest = line.partition(_BETWEEN)
            if not number.isdigit() or int(number) <= last:
                continue  # no progress: the watchdog is not fed, so that a tshark that repeats itself ends, too
            watch.fed()
            last = int(number)
            if last in wanted:
                said = _dissection(rest.rstrip(b"\n"))
                if said is not None:
                    known[last] = said
    finally:
        watch.end()
        process.kill()
        process.wait()
        process.stdout.close()
    if watch.has_bitten:
        raise LabError(f"tshark said nothing new of {path} for {SILENCE_SECONDS:.0f} s", mend="use --reader fast")
    return known


def _dissection(line: bytes) -> Dissection | None:
    """A dissection from the fields of a frame after its number."""
    parts = line.decode(errors="replace").split(_BETWEEN.decode())
    if len(parts) != len(_FIELDS) - 1:
        return None
    values = {name: part.split(_WITHIN.decode()) if part else [] for name, part in zip(_FIELDS[1:], parts, strict=True)}

    def first(*names: str) -> str:
        return next((values[name][0] for name in names if values[name]), "")

    try:
        port = first("udp.srcport")
        expert = zip(values["_ws.expert.severity"], values["_ws.expert.message"], strict=False)
        faults = [text for name, text in _FAULTS.items() if any(_true(values[f"{ip}.{name}"]) for ip in ("ip", "ipv6"))]
        fragments = (*values["ip.fragment"], *values["ipv6.fragment"])
        errors = (*values["ip.fragment.error"], *values["ipv6.fragment.error"])
        return Dissection(
            protocols=first("frame.protocols"),
            source=first("ip.src", "ipv6.src"),
            destination=first("ip.dst", "ipv6.dst"),
            source_port=int(port) if port else None,
            destination_port=int(first("udp.dstport")) if port else None,
            payload=bytes.fromhex(first("udp.payload").replace(":", "")) if port else None,
            ip_checksum=_CHECKSUM.get(first("ip.checksum.status"), Checksum.ABSENT),
            udp_checksum=_CHECKSUM.get(first("udp.checksum.status"), Checksum.ABSENT),
            reassembled_from=tuple(sorted({int(item) for item in (*fragments, *errors) if item.isdigit()})),
            expert=(
                *(f"{_SEVERITY.get(severity, 'message')}: {text}" for severity, text in expert),
                *(f"error: {text}" for text in faults),
            ),
        )
    except ValueError:
        return None


def _true(values: list[str]) -> bool:
    return any(value in ("1", "True") for value in values)


def dissect_frames(frames: Iterable[CapturedFrame]) -> dict[int, Dissection]:
    """What tshark says of some frames of a capture, which keep their own numbers.

    Raises:
        LabError: tshark is not installed.
    """
    with tempfile.NamedTemporaryFile(prefix="harness-", suffix=".pcapng") as file:
        numbers = [0]
        file.write(pcapng.section("frames"))
        for frame in frames:
            file.write(pcapng.packet(replace(frame, time_ns=frame.time_ns % _LATEST)))
            numbers.append(frame.number)
        file.flush()
        if len(numbers) == 1:
            return {}
        known = dissect_file(Path(file.name), range(1, len(numbers)))
    return {numbers[at]: item.renumbered(numbers) for at, item in known.items()}


def show(frames: Sequence[CapturedFrame], seconds: float = 20.0) -> list[str]:
    """Each frame in full, as ``tshark -V`` prints it; empty texts when tshark is not there or has nothing to say."""
    if not frames or not find():
        return [""] * len(frames)
    packets = (pcapng.packet(replace(frame, time_ns=frame.time_ns % _LATEST)) for frame in frames)
    data = b"".join((pcapng.section("frame"), *packets))
    arguments = [_tshark(), "-n", "-r", "-", *_OPTIONS, "-V"]
    try:
        done = children.feed(arguments, data, environment=children.wireshark_environment(), seconds=seconds)
    except (OSError, subprocess.TimeoutExpired):
        return [""] * len(frames)
    said = done.stdout.decode(errors="replace")
    starts = {int(found[1]): found.start() for found in _FRAME.finditer(said)}
    ends = dict(zip(starts, [*list(starts.values())[1:], len(said)], strict=True))
    texts = []
    for number, frame in enumerate(frames, 1):
        text = said[starts[number] : ends[number]].strip()[:_MOST_TEXT] if number in starts else ""
        text = text.replace(f"Frame {number}:", f"Frame {frame.number}:", 1)
        texts.append(text.replace(f"Frame Number: {number}\n", f"Frame Number: {frame.number}\n", 1))
    return texts


def _tshark() -> str:
    path = find()
    if not path:
        raise LabError("tshark is not installed", mend="install it (apt install tshark), or use --reader fast")
    return path

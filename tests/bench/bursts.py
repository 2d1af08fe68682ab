"""Writes the capture of a burst of any size, fast: markers, statistics, and the plan that predicts it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.capture.marker import Edge
from harness.files import removal
from harness.model.frames import encode
from harness.trace import trace_lines as plans
from harness.wsk import operations as op
from tests.corpus import containers as made
from tests.corpus.containers import Record
from tests.corpus.story import SITE, Cases, marker
from tests.unit.verify_kit import at, done, packet

_MANY = 65_536
_SIZE_OF_HEADERS = 42
Rows = NDArray[np.uint8]


def write(folder: Path, count: int, size: int = 64) -> tuple[Path, Path]:
    """A capture of ``count`` datagrams of ``size`` bytes of payload, and its plan; kept when it is there already."""
    capture, plan_file = folder / f"burst-{count}-{size}.pcapng", folder / f"burst-{count}-{size}.jsonl"
    plan = Cases()
    plan.case = "burst"
    plan.socket()
    outcome = op.Outcome(completion=done(count * size, completions=count))
    plan.add(op.Burst(1, at("192.0.2.1"), count, size, 1), outcome)
    plan.add(op.Close(1))
    header = plans.Header("bench", "linux", SITE.to_json())
    plan_file.write_text("".join(f"{line}\n" for line in plans.lines(plans.Plan(header, tuple(plan.steps)))))
    if capture.exists():
        return capture, plan_file
    burst = next(item.burst for item in plan.predict(SITE) if item.burst is not None)
    frame = encode(packet(burst.template, SITE, burst.payload(0)))[0]
    with removal.whole(capture) as file:
        file.write(made.section() + made.interface())
        for edge, number in ((Edge.LIVE, 0), (Edge.START, 1)):
            file.write(made.enhanced(Record(marker(number, edge, 1 + number, "burst" * number)), 0))
        for start in range(0, count, _MANY):
            file.write(_blocks(frame, start, min(_MANY, count - start), size).tobytes())
        for edge, number in ((Edge.END, 1), (Edge.LIVE, 0)):
            file.write(made.enhanced(Record(marker(number, edge, 4 - number, "burst" * number)), 0))
        file.write(made.statistics(0))
    return capture, plan_file


def _blocks(frame: bytes, start: int, count: int, size: int) -> Rows:
    """Enhanced packet blocks of ``count`` datagrams from sequence number ``start`` on."""
    length = len(frame)
    total = 32 + length + -length % 4
    rows = np.zeros((count, total), np.uint8)
    rows[:, :28] = np.frombuffer(struct.pack("<IIIIIII", 6, total, 0, 0, 0, length, length), np.uint8)
    data = rows[:, 28 : 28 + length]
    data[:] = np.frombuffer(frame, np.uint8)
    rows[:, total - 4 :] = np.frombuffer(struct.pack("<I", total), np.uint8)
    sequence = np.arange(start, start + count, dtype="<u8")
    data[:, 42:50] = sequence.view(np.uint8).reshape(count, 8)
    data[:, 50:] = (np.arange(8, size)[None, :] + sequence[:, None].astype(np.int64)).astype(np.uint8)
    data[:, 18:20] = (sequence & np.uint64(0xFFFF)).astype(">u2").view(np.uint8).reshape(count, 2)
    data[:, 24:26] = 0
    data[:, 24:26] = _checksums(data[:, 14:34])
    data[:, 40:42] = 0
    pseudo = np.tile(np.frombuffer(bytes([0, 17]) + (8 + size).to_bytes(2, "big"), np.uint8), (count, 1))
    segment = np.concatenate([data[:, 26:34], pseudo, data[:, 34:], np.zeros((count, size % 2), np.uint8)], axis=1)
    data[:, 40:42] = _checksums(segment)
    return rows


def _checksums(rows: Rows) -> Rows:
    words = rows.astype(np.uint32)
    total = (words[:, 0::2] * 256 + words[:, 1::2]).sum(axis=1, dtype=np.uint64)
    for _ in range(2):
        total = (total & np.uint64(0xFFFF)) + (total >> np.uint64(16))
    field = (total ^ np.uint64(0xFFFF)).astype(">u2")
    field[field == 0] = 0xFFFF  # never zero on the wire; an IPv4 header of this burst never sums to it
    pairs: Rows = field.view(np.uint8).reshape(len(rows), 2)
    return pairs

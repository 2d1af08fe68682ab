"""Capture files as other tools write them: every format gives the same frames, damage ends the reading in words."""

from __future__ import annotations

import gzip
import os
import stat
import struct
from pathlib import Path

import numpy as np
import pytest

from harness.capture import links
from harness.capture.files import CaptureFile
from harness.capture.frames import CapturedFrame
from harness.errors import UsageError
from tests.corpus import containers as made
from tests.corpus.containers import Record

FRAMES = [bytes([n]) * (60 + n % 5) for n in range(40)] + [bytes([7]) * 106] * 100 + [b"", b"x"]
RECORDS = [Record(data) for data in FRAMES]


def read(path: Path, content: bytes, chunk: int = 1 << 19) -> tuple[list[CapturedFrame], CaptureFile]:
    path.write_bytes(content)
    with CaptureFile(path, chunk=chunk) as file:
        return [batch.frame(at) for batch in file.batches() for at in range(len(batch))], file


CONTENTS = {
    "pcap": made.pcap(RECORDS),
    "pcap, big endian": made.pcap(RECORDS, ">"),
    "pcap, nanoseconds": made.pcap(RECORDS, nano=True),
    "pcapng": made.pcapng(RECORDS),
    "pcapng, big endian": made.pcapng(RECORDS, ">"),
    "pcapng, simple packets": made.pcapng(RECORDS, spb=True),
    "pcapng, with options": made.pcapng([Record(data, comment="a comment") for data in FRAMES]),
    "gzip": gzip.compress(made.pcapng(RECORDS)),
    "two sections of either order": made.pcapng(RECORDS[:70]) + made.pcapng(RECORDS[70:], ">"),
    "unknown blocks between": made.section()
    + made.block(0x0BAE, b"?" * 40)
    + made.interface()
    + made.block(4, bytes(4))
    + b"".join(made.enhanced(item, n) + made.block(0x80000001, b"private") for n, item in enumerate(RECORDS)),
}


@pytest.mark.parametrize("chunk", [256, 1000, 1 << 19])
@pytest.mark.parametrize("name", CONTENTS)
def test_every_format_gives_the_same_frames(name: str, chunk: int, tmp_path: Path) -> None:
    frames, file = read(tmp_path / "file", CONTENTS[name], chunk)
    assert [frame.data for frame in frames] == FRAMES
    assert [frame.number for frame in frames] == list(range(1, len(FRAMES) + 1))
    assert all(frame.length == len(frame.data) for frame in frames)
    assert file.damage == ""
    assert file.frames == len(FRAMES)


def test_times_are_nanoseconds_whatever_the_file_counts_in(tmp_path: Path) -> None:
    for content in (made.pcap(RECORDS), made.pcap(RECORDS, ">", nano=True), made.pcapng(RECORDS)):
        frames, _ = read(tmp_path / "file", content)
        assert all(frame.time_ns // 1_000_000_000 == 1_700_000_000 for frame in frames)
        assert frames[0].time_ns < frames[1].time_ns < frames[60].time_ns < frames[61].time_ns
    halves = made.interface(resolution=0x81)
    frames, _ = read(tmp_path / "file", made.section() + halves + made.enhanced(RECORDS[0], 3))
    assert frames[0].time_ns == 1_500_000_000


def test_frames_of_one_size_are_one_batch_with_a_stride(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (made.pcapng([Record(bytes(106))] * 5000), made.pcap([Record(bytes(106))] * 5000, ">")):
        path.write_bytes(content)
        with CaptureFile(path) as file:
            batches = [(len(batch), batch.stride > 0) for batch in file.batches()]
        assert sum(count for count, _ in batches) == 5000
        assert all(uniform for count, uniform in batches if count >= 16)
        assert len(batches) < 10


def test_losses_are_summed_over_interfaces_sections_and_packets(tmp_path: Path) -> None:
    one = made.section() + made.interface() + made.interface(name="eth1") + made.statistics(3) + made.statistics(4)
    one += made.statistics(2, number=1)
    _, file = read(tmp_path / "file", one)
    assert file.dropped == 6  # the last statistics of each interface count
    dropped = made.block(6, struct.pack("<IIIII", 0, 0, 0, 4, 4) + b"data" + made.option(4, struct.pack("<Q", 9)))
    _, file = read(tmp_path / "file", one + dropped)
    assert file.dropped == 15
    _, file = read(tmp_path / "file", made.pcapng(RECORDS, dropped=None))
    assert file.dropped is None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (made.block(6, bytes(20))[:-4] + b"\1\0\0\0", "something else at its end"),
        (struct.pack("<II", 6, 0xFFFFFFF0) + bytes(100), "says that it is 4294967280 bytes long"),
        (struct.pack("<II", 6, 8) + bytes(100), "says that it is 8 bytes long"),
        (made.block(6, struct.pack("<IIIII", 5, 0, 0, 0, 0)), "names interface 5"),
        (made.block(6, struct.pack("<IIIII", 0, 0, 0, 999, 999)), "says that it holds a frame of 999 bytes"),
        (made.block(6, b"abcd"), "says that it is 16 bytes long"),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), "without a byte-order magic"),
        (made.enhanced(RECORDS[50], 1)[:-9], "in the middle of a record"),
    ],
)
def test_damage_ends_the_reading_and_is_named(damage: bytes, said: str, tmp_path: Path) -> None:
    frames, file = read(tmp_path / "file", made.pcapng(RECORDS[:30], dropped=None) + damage)
    assert [frame.data for frame in frames] == FRAMES[:30]
    assert said in file.damage


def test_compressed_data_that_end_early_give_what_there_is(tmp_path: Path) -> None:
    content = made.pcapng([Record(os.urandom(100)) for _ in range(200)])
    frames, file = read(tmp_path / "file", gzip.compress(content)[:-4000])
    assert 50 < len(frames) < 200
    assert "gzip" in file.damage


def test_what_only_a_command_uncompresses_is_read_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "lz4"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\ntail -c +5 "$3"\n')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    monkeypatch.setattr("harness.capture.streams.Source._library", lambda _self: None)
    frames, _ = read(tmp_path / "file", b"\x04\x22\x4d\x18" + made.pcapng(RECORDS))
    assert [frame.data for frame in frames] == FRAMES
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="compressed with lz4, which nothing here can read"):
        CaptureFile(tmp_path / "file")


@pytest.mark.parametrize("link", [made.COOKED, made.COOKED2])
def test_cooked_frames_become_ethernet_without_a_destination(link: int, tmp_path: Path) -> None:
    frame = bytes.fromhex("02000000d001") + made.GUEST_MAC + b"\x08\x00" + b"payload"
    broadcast = b"\xff" * 6 + frame[6:]
    records = [made.cooked(Record(data), link) for data in (frame, broadcast)]
    frames, _ = read(tmp_path / "file", made.pcap(records, link=link))
    assert [item.data for item in frames] == [bytes(6) + frame[6:], broadcast]
    assert [item.length for item in frames] == [len(frame)] * 2


def test_a_tag_is_taken_off_for_its_own_vlan_only() -> None:
    plain = bytes(12) + b"\x08\x00rest"
    tagged = made.tagged(Record(plain), 0x2000 | 7).data
    assert links.untag(tagged, 7) == plain
    assert links.untag(tagged, 8) is None
    assert links.untag(plain, 7) is None


def test_bytes_are_found_where_frames_are_long_enough(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(made.pcapng(RECORDS))
    with CaptureFile(path) as file:
        found = np.concatenate([batch.starts_with(60, b"\x07") for batch in file.batches()])
    assert found.tolist() == [data[60:61] == b"\x07" for data in FRAMES]

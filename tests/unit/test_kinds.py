"""Every kind of capture file is read with the frame numbers of Wireshark, and refused in a line where it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.capture.files import CaptureFile
from harness.capture.tshark import one_pass
from harness.errors import UsageError
from harness.offline.verify import Reader
from tests.corpus import containers as made
from tests.corpus.check import check
from tests.corpus.containers import Record
from tests.corpus.kinds import NUMBERED, REFUSED, SKIPPED, checked, interface, kinds, packets

RECORDS = [Record(bytes([n]) * 60) for n in range(40)]


def numbers(path: Path, content: bytes, chunk: int = 1 << 19) -> tuple[list[int], CaptureFile]:
    path.write_bytes(content)
    with CaptureFile(path, chunk=chunk) as file:
        return [batch.first + at for batch in file.batches() for at in range(len(batch))], file


@pytest.mark.parametrize("chunk", [300, 1 << 19])
@pytest.mark.parametrize("name", NUMBERED)
def test_what_wireshark_numbers_has_a_number(name: str, chunk: int, tmp_path: Path) -> None:
    head = made.section() + made.interface()
    body = packets(RECORDS)
    content = head + b"".join(body[:30]) + NUMBERED[name] * 2 + b"".join(body[30:])
    found, file = numbers(tmp_path / "file", content, chunk)
    assert found == [*range(1, 31), *range(33, 43)]
    assert file.frames == 42
    assert list(file.others.values()) == [2]
    assert not file.damage


@pytest.mark.parametrize("name", SKIPPED)
def test_what_wireshark_skips_has_none(name: str, tmp_path: Path) -> None:
    content = made.section() + made.interface() + b"".join(SKIPPED[name] + item for item in packets(RECORDS))
    found, file = numbers(tmp_path / "file", content)
    assert found == list(range(1, 41))
    assert not file.others
    assert not file.damage


def test_a_finding_names_the_frame_that_wireshark_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "find", lambda: "")
    item = next(item for item in kinds() if item.name == "journal-blocks-failed")
    _, finding = check(item, tmp_path, Reader.FAST).findings[0]
    plain = 2 + 3  # the live marker, the start marker, and the third datagram of the case
    assert finding.frame == 2 * plain  # a journal entry comes before each


@pytest.mark.parametrize("name", REFUSED)
def test_what_wireshark_refuses_is_refused_with_advice(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(REFUSED[name])
    with pytest.raises(UsageError) as refused:
        CaptureFile(path)
    assert "editcap" in refused.value.mend
    assert "\n" not in refused.value.line()


@pytest.mark.parametrize(
    ("option", "length"),
    [(0, 64), (2, 64), (3, 64), (4, 60), (5, 60), (8, 64), (16, 64), (32, 60), (64, 60)],
)
def test_four_bytes_are_the_check_sequence_whatever_more_a_file_says(option: int, length: int, tmp_path: Path) -> None:
    head = interface(made.option(13, bytes([option])))
    path = tmp_path / "file"
    for content in (
        made.pcapng(checked(RECORDS), interfaces=[head]),
        made.pcapng(checked(RECORDS)[:1], interfaces=[head]),
    ):
        path.write_bytes(content)
        with CaptureFile(path) as file:
            batch = next(file.batches())
            assert (batch.frame(0).length, len(batch.frame(0).data)) == (length, length)


def test_a_check_sequence_that_was_cut_leaves_a_whole_frame(tmp_path: Path) -> None:
    head = interface(made.option(13, b"\x04"))
    for captured, length in ((62, 60), (60, 60), (40, 60)):
        path = tmp_path / "file"
        path.write_bytes(made.pcapng([Record(bytes(captured), 64)], interfaces=[head]))
        with CaptureFile(path) as file:
            frame = next(file.batches()).frame(0)
        assert (len(frame.data), frame.length) == (min(captured, 60), length)


def test_damaged_options_end_the_reading(tmp_path: Path) -> None:
    good = made.section() + made.interface() + packets(RECORDS)[0]
    for code, value, said in ((2, b"abc", "in 3 bytes instead of 4"), (4, b"abc", "in 3 bytes instead of 8")):
        body = packets(RECORDS)[1][8:-4] + made.option(code, value)
        found, file = numbers(tmp_path / "file", good + made.block(6, body) + packets(RECORDS)[2])
        assert found == [1]
        assert said in file.damage


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (made.block(3, bytes(4) + bytes(8)), "holds more than its frame of 0 bytes"),
        (made.block(4, b"\1\0\xff\0" + bytes(8)), "names that reach past its end"),
        (made.block(10, b"KLST\xff\0\0\0"), "secrets that reach past its end"),
        (made.block(5, bytes(12) + b"\5\0\xff\0"), "an option of 255 bytes"),
        (made.block(9, b"MESSAGE=short"), "says that it is 28 bytes long"),
        (made.block(0x204, bytes(8)), "says that it is 20 bytes long"),
    ],
)
def test_what_wireshark_does_not_read_past_ends_the_reading(block: bytes, said: str, tmp_path: Path) -> None:
    first, second = packets(RECORDS)[:2]
    found, file = numbers(tmp_path / "file", made.section() + made.interface() + first + block + second)
    assert found == [1]
    assert said in file.damage

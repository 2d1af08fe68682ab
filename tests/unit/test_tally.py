"""The record is held against the live capture by a tally, frame by frame."""

from __future__ import annotations

from harness.capture.frames import CapturedFrame
from harness.capture.tally import Tally

KEPT = 100


def tally(*frames: bytes, cut: int = 0) -> Tally:
    made = Tally(KEPT)
    made.add(CapturedFrame(1, 0, data, len(data) + cut) for data in frames)
    return made


def test_the_same_frames_are_no_difference() -> None:
    assert tally(b"a", b"b").differences(tally(b"a", b"b")) == []


def test_what_lies_behind_the_kept_bytes_is_not_compared() -> None:
    assert tally(bytes(KEPT) + b"x").differences(tally(bytes(KEPT) + b"y")) == []
    assert tally(bytes(KEPT - 1) + b"x").differences(tally(bytes(KEPT - 1) + b"y")) != []


def test_a_frame_cut_shorter_than_it_was_on_the_wire_is_another_frame() -> None:
    assert tally(b"a", cut=5).differences(tally(b"a")) != []


def test_each_difference_is_counted() -> None:
    assert tally(b"a").differences(tally(b"a", b"b", b"b")) == ["2 frames missing in the record"]
    assert tally(b"a", b"b").differences(tally(b"a")) == ["1 frame only in the record"]
    assert tally(b"a", b"c").differences(tally(b"a", b"b")) == [
        "1 frame missing in the record",
        "1 frame only in the record",
    ]
    order = "the record holds the same frames as the live capture in another order"
    assert tally(b"a", b"b").differences(tally(b"b", b"a")) == [order]


def test_only_what_came_up_to_a_frame_can_be_compared() -> None:
    whole = tally(b"a", b"end", b"late")
    assert whole.up_to(b"end").differences(tally(b"a", b"end")) == []
    assert len(whole) == 3

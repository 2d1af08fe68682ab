"""Each damaged capture of the corpus gets its verdict and each good one none, in columns and frame by frame alike.

Without tshark, to be quick; ``tests/integration/test_corpus.py`` asks tshark, too.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.capture.frames import CapturedFrame, Dissection
from harness.capture.tshark import one_pass
from harness.offline import verify as offline
from harness.offline.verify import Reader
from tests.corpus.check import check, told
from tests.corpus.damages import corpus
from tests.corpus.kinds import kinds
from tests.corpus.story import write_plan

CORPUS = {item.name: item for item in (*corpus(), *kinds())}


def test_the_corpus_is_large_enough_and_its_names_are_its_own() -> None:
    assert len(CORPUS) == len([*corpus(), *kinds()])
    assert sum(1 for item in CORPUS.values() if item.status != "passed") >= 40


@pytest.mark.parametrize("name", CORPUS)
def test_a_damaged_capture_gets_its_verdict(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "find", lambda: "")
    item = CORPUS[name]
    in_columns = check(item, tmp_path, Reader.FAST)
    one_by_one = check(replace(item, choice=replace(item.choice, bulk=False)), tmp_path, Reader.FAST)
    assert told(in_columns) == told(one_by_one)
    assert any("tshark is not installed" in note for note in in_columns.notes)


def test_only_what_deviates_is_looked_at_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def dissect_frames(frames: list[CapturedFrame]) -> dict[int, Dissection]:
        asked.extend(frame.number for frame in frames)
        return {}

    monkeypatch.setattr(one_pass, "find", lambda: "/usr/bin/tshark")
    monkeypatch.setattr(one_pass, "dissect_frames", dissect_frames)
    path = tmp_path / "burst-bit-ttl"
    item = CORPUS[path.name]
    path.write_bytes(item.content)
    verdict = offline.verify(path, write_plan(tmp_path / "operations.jsonl"), Reader.FAST)
    singles_and_fragments = 9 + 1 + 2
    assert len(asked) == singles_and_fragments + 1
    assert verdict.counts.matched == 308

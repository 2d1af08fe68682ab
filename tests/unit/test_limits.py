"""Inputs without an end, and work that takes long: refused in one line, or told apart from silence."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.capture import streams, tshark
from harness.capture.files import CaptureFile
from harness.errors import LabError, UsageError
from harness.matrix.events import decode
from harness.session.alive import SIGN, signs_of_life
from tests.corpus import containers as made
from tests.corpus.containers import Record


def test_a_fifo_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, Path("/dev/zero"), tmp_path):
        with pytest.raises(UsageError, match=r"is not a regular file|is a folder") as refused:
            CaptureFile(path)
        assert "\n" not in refused.value.line()


def test_a_small_file_that_uncompresses_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_UNCOMPRESSED", 1 << 20)
    content = made.pcap([Record(bytes(1000))] * 2000)
    for name, data in (("plain", content), ("packed", gzip.compress(content))):
        (tmp_path / name).write_bytes(data)
    with CaptureFile(tmp_path / "plain") as file:
        assert sum(len(batch) for batch in file.batches()) == 2000
    with CaptureFile(tmp_path / "packed") as file, pytest.raises(UsageError, match="uncompresses to more than"):
        sum(len(batch) for batch in file.batches())


def test_long_work_shows_that_it_lives_and_ends_its_signs() -> None:
    told: list[dict[str, Any]] = []
    second = threading.Event()

    def emit(event: dict[str, Any]) -> None:
        told.append(event)
        if len(told) == 2:
            second.set()

    with signs_of_life(emit, 0.001):
        assert second.wait(10.0), "no second sign of life within 10 s"
    count = len(told)
    assert all(event == SIGN for event in told)
    assert "alive" not in {thread.name for thread in threading.enumerate()}
    assert len(told) == count


def test_a_reader_of_events_passes_over_a_sign_of_life() -> None:
    with pytest.raises(ValueError, match="not an event"):
        decode('{"event": "alive"}')


def test_a_tshark_that_says_nothing_is_ended_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = tmp_path / "tshark"
    silent.write_text("#!/bin/sh\nexec sleep 600\n")
    silent.chmod(0o755)
    monkeypatch.setattr(tshark, "find", lambda: str(silent))
    monkeypatch.setattr(tshark, "SILENCE_SECONDS", 0.2)
    with pytest.raises(LabError, match=r"said nothing of .*capture for 0 s"):
        tshark.dissect_file(tmp_path / "capture", {1})

"""``harness verify`` and ``harness replay`` from the outside: text, JSON, exit codes, bundles, errors in one line."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from harness.capture.tshark import one_pass
from harness.cli.app import run_app
from tests.corpus.damages import corpus
from tests.corpus.story import write_plan

CORPUS = {item.name: item for item in corpus()}


@pytest.fixture(autouse=True)
def _no_tshark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "find", lambda: "")


def files(folder: Path, name: str) -> tuple[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    capture = folder / "capture.pcapng"
    capture.write_bytes(CORPUS[name].content)
    return str(capture), str(write_plan(folder / "operations.jsonl"))


@pytest.mark.parametrize(("name", "code"), [("good", 0), ("wrong-ttl", 1), ("lost-frames", 3)])
def test_exit_codes(name: str, code: int, tmp_path: Path) -> None:
    capture, plan = files(tmp_path, name)
    assert run_app(["verify", capture, "--plan", plan]) == code


def test_json_has_what_the_design_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture, plan = files(tmp_path, "burst-bit-ttl")
    run_app(["verify", capture, "--plan", plan, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["status"]) == (1, "failed")
    assert told["datagrams"]["expected"] == 309
    finding = told["findings"][0]
    assert {key: finding[key] for key in ("verdict", "field", "expected", "seen", "case")} == {
        "verdict": "altered", "field": "ip.ttl", "expected": "64", "seen": "65", "case": "more",
    }  # fmt: skip
    assert isinstance(finding["frame"], int)
    assert isinstance(finding["operation"], int)
    assert [case["status"] for case in told["cases"]] == ["passed", "failed"]


def test_a_failed_datagram_is_shown_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture, plan = files(tmp_path, "port-bytes-swapped")
    run_app(["verify", capture, "--plan", plan])
    said = capsys.readouterr().out
    assert "altered (frame 5, step 6): udp.destination_port expected 9000, seen 10275 (bytes swapped)" in said
    assert "> udp.destination_port  9000" in said
    assert "first differing byte of the frame: 36" in said
    assert "[28][23]" in said
    assert f"wireshark -r {capture} -g 5" in said
    assert "frame.number == 5" in said


def test_a_missing_datagram_is_shown_with_a_filter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture, plan = files(tmp_path, "drop")
    run_app(["verify", capture, "--plan", plan])
    said = capsys.readouterr().out
    assert "missing (step 6): datagram expected 192.0.2.10 port 50124 -> 192.0.2.1:9000, 40 bytes" in said
    assert "ip.dst == 192.0.2.1 && udp.dstport == 9000" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"not a capture at all, but text", "is neither a pcap nor a pcapng file"),
        (b"\x1f\x8b\x08\x00garbage that is not deflate", "cannot be read to their end"),
    ],
)
def test_what_is_no_capture_is_one_line(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, plan = files(tmp_path, "good")
    path = tmp_path / "other"
    path.write_bytes(content)
    assert run_app(["verify", str(path), "--plan", plan]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_wrong_use_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture, plan = files(tmp_path, "good")
    for arguments in (
        [str(tmp_path / "none"), "--plan", plan],
        [capture, "--plan", str(tmp_path / "none")],
        [capture, "--plan", capture],
        [capture, "--plan", plan, "--reader", "scapy"],
        [str(tmp_path), "--plan", plan],
    ):
        assert run_app(["verify", *arguments]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_reader_that_is_not_there_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture, plan = files(tmp_path, "good")
    assert run_app(["verify", capture, "--plan", plan, "--reader", "tshark"]) == 3
    assert "tshark is not installed" in capsys.readouterr().err


def run_folder(folder: Path) -> Path:
    files(folder / "cells" / "wine--e1000", "good")
    files(folder / "cells" / "wine--virtio-net", "burst-drop")
    cases = [{"id": "sends", "status": "passed"}, {"id": "more", "status": "passed"}]
    cells = [{"guest": "wine", "nic": nic, "cases": cases} for nic in ("e1000", "virtio-net")]
    (folder / "results.json").write_text(json.dumps({"schema": 1, "cells": cells}))
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_a_run_is_judged_again(packed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = run_folder(tmp_path / "run")
    if packed:
        assert run_app(["replay", str(source), "--pack"]) == 0
        source = Path(capsys.readouterr().out.strip())
    assert run_app(["replay", str(source), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [cell["status"] for cell in told["cells"]] == ["passed", "failed"]
    assert told["cells"][1]["changes"] == [{"case": "more", "was": "passed", "now": "failed"}]


def test_a_bundle_that_lies_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 and then nothing")
    empty = tmp_path / "empty.zip"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("../../etc/passwd", "root")
    for path in (broken, empty, tmp_path / "none", tmp_path):
        assert run_app(["replay", str(path)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1

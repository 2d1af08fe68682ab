"""The comparison with tshark finds no difference in the corpus, and finds one that is put there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.capture import blocktypes
from tests.corpus import compare
from tests.corpus.kinds import REFUSED, kinds

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


def test_tshark_reads_every_kind_of_file_as_we_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {item.name: item.content for item in kinds()} | REFUSED
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert compare.main([str(tmp_path)]) == 0, capsys.readouterr().out
    assert f"{len(files)} files agree, 0 differ" in capsys.readouterr().out


def test_another_numbering_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    item = next(item for item in kinds() if item.name == "journal-blocks-passed")
    (tmp_path / "journal").write_bytes(item.content)
    monkeypatch.delitem(blocktypes.NUMBERED, blocktypes.JOURNAL)
    assert compare.main([str(tmp_path)]) == 1
    assert "we have frame 1: " in capsys.readouterr().out


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    assert compare.main([str(tmp_path)]) == 2

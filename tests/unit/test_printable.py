"""Text from elsewhere forges no line of ours, repaints no terminal and spoils no file."""

from __future__ import annotations

import io
import json
import unicodedata
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from harness import printable
from harness.cell.job import Cell
from harness.cli import offline
from harness.offline.bundle import Change, Replayed
from harness.report import junit, markdown, table
from harness.report.progress import Watcher
from harness.results.record import CaseResult, CellResult, Results, RunInfo, load, write
from harness.results.status import Status

EVIL = (
    "x\npassed       wine--e1000",
    "x\rpassed",
    "\x1b[2J\x1b[32mpassed",
    "\x9b32mpassed",
    "\u202edessap",
    "a\u2028passed",
    "\u2066x\u2069",
    "\0",
    "\x7f\x08\x0b\x0c",
    "half \udcff",
    "[red]markup[/red] [/]",
    "\ufffe",
)


def unseen(text: str) -> set[str]:
    """Characters that no output of ours may have."""
    return {letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n"}


@pytest.mark.parametrize("text", EVIL)
def test_a_line_is_one_line_without_controls(text: str) -> None:
    assert unseen(printable.line(text)) == set()
    assert len(printable.line(text).splitlines()) == 1
    assert unseen(printable.block(text)) == set()


def test_what_can_be_read_stays() -> None:
    for text in ("test_größe[日本-ipv4]", "a\u00a0b", "👩\u200d💻", "नमस्ते", "\\n"):
        assert printable.line(text) == text
    assert printable.block("a\r\n\tb") == "a\n\tb"


def record(text: str) -> Results:
    case = CaseResult(f"t.py::test_x[{text}]", Status.FAILED, f"reason {text}", explained=(text,))
    cell = CellResult("wine", f"e1000+{text}", Status.FAILED, text, driver=text, cases=(case,), detail=text)
    other = CellResult("wine", "e1000", Status.PASSED, driver="b")
    return Results(RunInfo("r", "2026-01-01T00:00:00+00:00"), (cell, other))


@pytest.mark.parametrize("text", EVIL)
def test_every_output_of_a_run_is_printable(text: str, tmp_path: Path) -> None:
    results = record(text)
    file = io.StringIO()
    console = Console(file=file, width=200)
    table.show(results, console, tmp_path / "x")
    with Watcher(console) as watcher:
        watcher.say(text)
        watcher.observe(Cell("wine", f"e1000+{text}", text), results.cells[0].cases[0])
        watcher.observe(Cell("wine", f"e1000+{text}", text), results.cells[0])
    assert unseen(file.getvalue()) == set()
    assert not any(line.startswith("passed") for line in file.getvalue().splitlines())
    assert unseen(markdown.render(results)) == set()
    xml = junit.render(results)
    names = [case.get("name", "") for case in ET.fromstring(xml.encode()).iter("testcase")]
    assert unseen(xml) <= {"\t"}
    assert any(name.startswith("test_x[") for name in names)
    json.loads(write(results, tmp_path).read_bytes())


def test_a_record_with_half_a_surrogate_pair_is_read_again(tmp_path: Path) -> None:
    write(record("half \udcff"), tmp_path)
    assert load(tmp_path).cells[0].cases[0].id == "t.py::test_x[half \\udcff]"


@pytest.mark.parametrize("text", EVIL)
def test_a_replay_forges_no_line(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Replayed(
        f"cell {text}", None, Status.INCONCLUSIVE, f"why {text}", (Change(text, text, text),), (text,), (text,)
    )
    monkeypatch.setattr("harness.offline.bundle.replay", lambda *arguments: iter([bad]))
    offline.replay(Path("x"), pack=False, output=None, reader="auto", as_json=False)
    out = capsys.readouterr().out
    assert unseen(out) == set()
    assert not any(line.startswith("passed") for line in out.splitlines())

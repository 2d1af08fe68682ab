"""What a run wrote into a cell's folder goes before the cell runs again; what a person put there stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.capture.session import RECORD
from harness.cell import cell_files, hang, worker
from harness.cell.job import JOB_FILE
from harness.cell.run import CONSOLE, DOMAIN
from harness.cell.suite import SUITE_LOG
from harness.errors import UsageError
from harness.files import ownership, removal
from harness.results.record import CAPTURE, PLAN


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "cells" / "wine--e1000"
    folder.mkdir(parents=True)
    ownership.mark(tmp_path / "run")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_run_s_files_go_and_a_person_s_stay(cell: Path) -> None:
    for name in (
        *cell_files.NAMES,
        ".capture.pcapng.a1b2c3d_",
        "note.txt",
        "old-capture.pcapng",
        ".capture.pcapng.bak",
    ):
        (cell / name).write_text("x")
    (cell / "dumps").mkdir()
    (cell / "dumps" / "host-1.dmp").write_text("x")
    cell_files.clear(cell)
    assert names(cell) == [".capture.pcapng.bak", "dumps", "dumps/host-1.dmp", "note.txt", "old-capture.pcapng"]


def test_every_file_that_a_cell_is_known_to_write_has_its_name_in_the_list() -> None:
    known = {CAPTURE, PLAN, RECORD, CONSOLE, DOMAIN, SUITE_LOG, JOB_FILE, worker.LOG_FILE, hang.STACKS}
    assert known <= cell_files.NAMES


def test_kept_texts_go_by_their_list(cell: Path) -> None:
    mine: set[str] = set()
    for name in ("shortest.json", "more.txt", "shortest.json"):
        cell_files.note_kept(cell, name, mine).write_text("kept")
    (cell / "note.txt").write_text("a person's")
    cell_files.clear(cell)
    assert names(cell) == ["note.txt"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/x", "a/b", ".hidden", "a\nb", "x" * 300, *sorted(cell_files.NAMES)]
)
def test_a_text_is_kept_under_no_name_that_leads_elsewhere_or_is_taken(name: str, cell: Path) -> None:
    with pytest.raises(UsageError, match="a text cannot be kept as"):
        cell_files.note_kept(cell, name, set())
    assert names(cell) == []


def test_a_text_is_not_kept_over_a_person_s_file(cell: Path) -> None:
    (cell / "note.txt").write_text("a person's")
    with pytest.raises(UsageError, match=r"the cell's folder has such a file"):
        cell_files.note_kept(cell, "note.txt", set())


@pytest.mark.parametrize("text", ["{", "3", "null", '["../../outside.txt", 7, "/etc/passwd", "note/x"]'])
def test_a_list_of_kept_texts_that_lies_removes_nothing(text: str, cell: Path) -> None:
    (cell.parent.parent / "outside.txt").write_text("x")
    (cell / cell_files.KEPT).write_text(text)
    cell_files.clear(cell)
    assert names(cell) == []
    assert (cell.parent.parent / "outside.txt").exists()


def test_a_link_with_the_name_of_a_run_s_file_is_refused(cell: Path, tmp_path: Path) -> None:
    ownership.forget(tmp_path)
    (tmp_path / "mine.log").write_text("x")
    (cell / SUITE_LOG).symlink_to(tmp_path / "mine.log")
    with pytest.raises(removal.RefusedError, match="it is a link"):
        cell_files.clear(cell)
    assert (tmp_path / "mine.log").read_text() == "x"


def test_evidence_of_all_cells_goes_and_a_note_keeps_its_folder(cell: Path) -> None:
    (cell / CAPTURE).write_text("x")
    (cell / "note.txt").write_text("x")
    other = cell.parent / "wine--pcnet"
    (other / "dumps").mkdir(parents=True)
    for name in ("host-1.dmp", "MEMORY-0123abcd.tgz"):
        (other / "dumps" / name).write_text("x")
    (other / PLAN).write_text("x")
    (other / cell_files.KEPT).write_text(json.dumps(["shortest.json"]))
    (other / "shortest.json").write_text("x")
    assert cell_files.remove(cell.parent) == 6
    assert names(cell.parent) == ["wine--e1000", "wine--e1000/note.txt"]
    assert cell_files.remove(cell.parent) == 0


def test_folders_that_are_empty_then_go(cell: Path) -> None:
    (cell / CAPTURE).write_text("x")
    assert cell_files.remove(cell.parent) == 1
    assert not cell.parent.exists()

"""Cached folders and documents: whole or damaged, by size and time first, by content where that moved or matters."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cache import blocks, document, durable, manifest
from harness.cache.manifest import DamagedError, Depth
from harness.files import removal

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published folder: a text, and a sparse file of 5 MiB whose second and last MiB hold data."""
    made = tmp_path / ".made"
    made.mkdir()
    (made / "key").write_text("secret")
    with (made / "memory").open("wb") as file:
        for block in (1, 4):  # what lies between is holes
            file.seek(block * MIB)
            file.write(bytes([block]) * MIB)
    manifest.write(made, {"guest": "wine"})
    durable.publish(made, tmp_path / "cached")
    return tmp_path / "cached"


def flip(path: Path, at: int, *, quietly: bool = False) -> None:
    """Change one byte; quietly, as a disk does: the time of the file stays."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    if quietly:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def damage(folder: Path, depth: Depth) -> str:
    """What is wrong with a folder; empty when it is whole."""
    try:
        manifest.check(folder, manifest.read(folder), depth)
    except DamagedError as found:
        return str(found)
    return ""


@pytest.mark.parametrize("depth", Depth)
def test_a_published_folder_is_whole_and_keeps_its_facts(folder: Path, depth: Depth) -> None:
    assert damage(folder, depth) == ""
    assert manifest.read(folder)["guest"] == "wine"


@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize(("at", "block"), [(MIB + 77, 1), (2 * MIB + 5, 2), (5 * MIB - 1, 4)])
def test_one_flipped_byte_is_found_by_its_block_in_data_and_in_a_hole(
    folder: Path, depth: Depth, at: int, block: int
) -> None:
    flip(folder / "memory", at)
    assert damage(folder, depth) == f"memory differs in block {block} of 5 (1 MiB each)"


@pytest.mark.parametrize("at", [MIB + 77, 2 * MIB + 5, 5 * MIB - 1])
def test_a_disk_s_fault_moves_no_time_and_is_found_at_a_use(folder: Path, at: int) -> None:
    flip(folder / "memory", at, quietly=True)
    assert damage(folder, Depth.STAMPS) == ""
    assert "differs in block" in damage(folder, Depth.USE)
    assert "differs in block" in damage(folder, Depth.ALL)


@pytest.mark.parametrize("name", ["key", "memory"])
def test_emptied_cut_short_longer_and_missing_files_are_named(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    for content in (b"", whole[:-1], whole + b"\0"):
        (folder / name).write_bytes(content)
        assert damage(folder, Depth.STAMPS).startswith(f"{name} has {len(content)} bytes instead of {len(whole)}")
    removal.remove(folder / name)
    assert damage(folder, Depth.STAMPS) == f"{name}: No such file or directory"


def test_a_copied_folder_is_read_once_and_gets_its_times_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    assert damage(copy, Depth.STAMPS) == ""
    monkeypatch.setattr(blocks, "checksums", lambda *_: pytest.fail("read again"))
    assert damage(copy, Depth.STAMPS) == ""


def test_a_use_reads_some_blocks_of_a_large_file_and_doctor_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_MOST_BLOCKS", 1)
    read: list[int] = []
    whole = blocks.checksums

    def noted(path: Path, numbers: list[int] | None = None) -> dict[int, str]:
        found = whole(path, numbers)
        if path.name == "memory":
            read.extend(found)
        return found

    monkeypatch.setattr(blocks, "checksums", noted)
    assert damage(folder, Depth.USE) == ""
    assert (len(read), {0, 2, 3} <= set(read)) == (4, True)
    read.clear()
    assert damage(folder, Depth.ALL) == ""
    assert read == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("how", ["emptied", "cut", "flipped", "missing"])
def test_a_damaged_manifest_makes_the_folder_a_damaged_one(folder: Path, how: str) -> None:
    path = folder / manifest.NAME
    text = path.read_text()
    if how == "missing":
        removal.remove(path)
    else:
        path.write_text({"emptied": "", "cut": text[:-30], "flipped": text.replace("wine", "wind")}[how])
    assert damage(folder, Depth.STAMPS).startswith(manifest.NAME)


def test_a_folder_gets_its_name_after_all_of_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "made"
    (made / "deep").mkdir(parents=True)
    (made / "deep/file").write_text("x")
    synced: list[str] = []

    def fsync(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink().relative_to(tmp_path)))

    monkeypatch.setattr(os, "fsync", fsync)
    durable.publish(made, tmp_path / "cached")
    assert sorted(synced[:-1]) == ["made", "made/deep", "made/deep/file"]
    assert synced[-1] == "."


def test_a_document_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "a.json"
    order: list[tuple[bool, bool]] = []
    monkeypatch.setattr(os, "fsync", lambda handle: order.append((os.path.isdir(handle), path.exists())))
    document.write(path, {"name": "tcg"})
    assert order == [(False, False), (True, True)]  # the file before it has its name, its folder afterwards
    assert document.read(path) == {"name": "tcg"}


@pytest.mark.parametrize("text", ["", "{", '{"digest": "0", "value": {"name": "tcg"}}', "[]"])
def test_a_damaged_document_is_told_from_a_missing_one(tmp_path: Path, text: str) -> None:
    assert document.read(tmp_path / "a.json") is None
    (tmp_path / "a.json").write_text('{"name": "tcg"}')
    assert document.read(tmp_path / "a.json") is None  # of an older version
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="it "):
        document.read(tmp_path / "a.json")


def test_one_flipped_letter_in_a_document_is_found(tmp_path: Path) -> None:
    document.write(tmp_path / "a.json", {"name": "tcg"})
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "a.json").write_text(text.replace("tcg", "tcf"))
    with pytest.raises(ValueError, match="digest"):
        document.read(tmp_path / "a.json")


def test_a_process_killed_before_the_rename_leaves_the_old_document(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    document.write(path, {"version": "old"})
    program = (
        "import os, pathlib, signal\n"
        "from harness.cache import document\n"
        "os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"document.write(pathlib.Path({str(path)!r}), {{'version': 'new'}})\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert document.read(path) == {"version": "old"}
    assert json.loads(path.read_text())["value"] == {"version": "old"}

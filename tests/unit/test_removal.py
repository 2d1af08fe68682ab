"""Nothing is removed or written over that the harness did not make."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.files import ownership, removal
from harness.files.removal import RefusedError


@pytest.fixture(autouse=True)
def _strangers_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Here pytest's folders are a stranger's, unlike in other tests."""
    ownership.forget(tmp_path_factory.getbasetemp())
    yield
    ownership.adopt_new(tmp_path_factory.getbasetemp())


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder that an earlier process of the harness made."""
    folder = tmp_path / "run"
    folder.mkdir()
    ownership.mark(folder)
    return folder


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_what_the_harness_made_is_removed(own: Path) -> None:
    (own / "cells" / "a").mkdir(parents=True)
    (own / "cells" / "a" / "capture.pcapng").write_bytes(b"x")
    removal.remove(own / "cells" / "a" / "capture.pcapng")
    assert tree(own / "cells") == ["a"]
    removal.remove(own / "cells")
    removal.remove(own / "cells")  # it is gone already
    assert tree(own) == [ownership.MARKER]


def refused(tmp_path: Path, own: Path) -> dict[str, Path]:
    """Targets, by what is wrong with them."""
    outside = tmp_path / "outside"
    (outside / "inner").mkdir(parents=True)
    (own / "link").symlink_to(outside)
    (own / "repository" / ".git").mkdir(parents=True)
    (own / "deep" / "x" / "project").mkdir(parents=True)
    (own / "deep" / "x" / "project" / ".git").write_text("gitdir: /elsewhere\n")
    (own / "work" / "here").mkdir(parents=True)
    copied = tmp_path / "copied"
    copied.mkdir()
    shutil.copy(own / ownership.MARKER, copied)
    (copied / "thesis").mkdir()
    return {
        "relative": Path("."),
        "outside": outside / "inner",
        "the folder itself": own,
        "its parent": tmp_path,
        "a way out": own / "deep" / ".." / ".." / "outside",
        "a link": own / "link",
        "through a link": own / "link" / "inner",
        "a repository": own / "repository",
        "in a repository": own / "repository" / ".git",
        "a repository deep inside": own / "deep",
        "the working folder": own / "work" / "here",
        "above the working folder": own / "work",
        "the marker": own / ownership.MARKER,
        "a marker that was copied": copied / "thesis",
    }


def test_everything_else_is_refused_and_stays(tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = refused(tmp_path, own)
    monkeypatch.chdir(own / "work" / "here")
    before = tree(tmp_path)
    for what, target in targets.items():
        with pytest.raises(RefusedError):
            removal.remove(target)
        assert tree(tmp_path) == before, what


def test_the_home_folder_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / "home" / "me").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(own / "home" / "me"))
    with pytest.raises(RefusedError, match="home folder"):
        removal.remove(own / "home")


def test_a_mount_point_below_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / "cells" / "a b").mkdir(parents=True)
    line = f"36 35 98:0 / {str(own / 'cells' / 'a b').replace(' ', chr(92) + '040')} rw - tmpfs tmpfs rw\n"
    real = Path.read_text

    def read(path: Path, encoding: str | None = None, errors: str | None = None) -> str:
        return line if "mountinfo" in str(path) else real(path, encoding, errors)

    monkeypatch.setattr(Path, "read_text", read)
    with pytest.raises(RefusedError, match="mount point"):
        removal.remove(own / "cells")


def test_renaming_over_a_strangers_file_is_refused(tmp_path: Path, own: Path) -> None:
    (own / "made").write_text("new")
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(RefusedError):
        removal.replace(own / "made", tmp_path / "notes")
    with pytest.raises(RefusedError):
        removal.replace(tmp_path / "notes", own / "notes")
    with pytest.raises(RefusedError):
        removal.truncate(tmp_path / "notes", 0)
    assert (tmp_path / "notes").read_text() == "mine"
    removal.replace(own / "made", own / "kept")
    assert (own / "kept").read_text() == "new"


def test_a_link_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "results.json").symlink_to(tmp_path / "notes")
    with pytest.raises(RefusedError):
        removal.write_whole(tmp_path / "results.json", "{}")
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_file_has_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        removal.write_whole(tmp_path / "a", "x")
        os.umask(0o022)
        removal.write_whole(tmp_path / "b", "x")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o600, 0o644]


def test_a_scratch_folder_goes_and_a_link_in_it_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine").write_text("x")
    with removal.scratch("t-", beside=tmp_path) as folder:
        (folder / "link").symlink_to(tmp_path / "notes")
        removal.remove(folder / "link")
        (folder / "link").symlink_to(tmp_path / "notes")
    assert tree(tmp_path) == ["notes", "notes/mine"]


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(own: Path) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom harness.files import removal\n"
        "with removal.scratch('.build-', beside=Path(sys.argv[1])) as folder:\n"
        "    (folder / 'x').touch(); print(folder, flush=True)\n"
        "    sys.stdin.read(); os.kill(os.getpid(), 9)\n"
    )
    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, "-c", program, str(own)], stdin=pipe, stdout=pipe, text=True)
    assert child.stdout is not None
    left = Path(child.stdout.readline().strip())
    (own / ".build-notes").write_text("no folder")
    with removal.scratch(".build-", beside=own):
        assert left.exists(), "its process lives"
    child.communicate("", timeout=20)
    assert left.exists()
    with removal.scratch(".build-", beside=own):
        assert not left.exists()
    assert tree(own) == [".build-notes", ownership.MARKER]


def test_leftovers_in_a_strangers_folder_are_not_swept(tmp_path: Path) -> None:
    (tmp_path / ".sign-mine").mkdir()
    with removal.scratch(".sign-", beside=tmp_path):
        pass
    assert tree(tmp_path) == [".sign-mine"]


def test_a_folder_is_claimed_by_one_at_a_time(tmp_path: Path) -> None:
    program = "import sys, pathlib\nfrom harness.files import ownership\nownership.claim(pathlib.Path(sys.argv[1]))\n"
    words = [sys.executable, "-c", program, str(tmp_path / "out")]
    with ownership.claimed(tmp_path / "out"), ownership.claimed(tmp_path / "out"):
        second = subprocess.run(words, capture_output=True, text=True, check=False)
        assert "UsageError: another process of the harness works in" in second.stderr
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_a_strangers_folder_is_not_claimed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for output in ("out", "file", "file/below"):
        with pytest.raises(UsageError):
            ownership.claim(tmp_path / output)
    assert tree(tmp_path) == ["file", "out", "out/thesis.txt"]
    ownership.claim(tmp_path / "out", ours=lambda folder: (folder / "thesis.txt").is_file())


def test_a_moved_folder_is_still_the_harnesses(own: Path) -> None:
    moved = own.rename(own.with_name("moved"))
    (moved / "cells").mkdir()
    removal.remove(moved / "cells")
    assert tree(moved) == [ownership.MARKER]


def test_a_marker_that_cannot_be_written_leaves_the_folder_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is not empty, and has no marker, would be a stranger's when the disk has space again."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(UsageError, match="No space left on device"):
            ownership.claim(tmp_path / "out")
    assert tree(tmp_path / "out") == []
    ownership.claim(tmp_path / "out")

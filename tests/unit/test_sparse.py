"""Copies of files with holes: the same bytes, with the same holes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.vm import sparse


@pytest.mark.parametrize(
    "written", [{}, {0: b"first"}, {3 << 20: b"middle", 5 << 20: b"more"}, {(8 << 20) - 4: b"last"}]
)
def test_a_copy_has_the_bytes_and_the_holes(tmp_path: Path, written: dict[int, bytes]) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.truncate(8 << 20)
        for at, data in written.items():
            file.seek(at)
            file.write(data)
    sparse.copy(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks * 512 <= 128 * 1024 * max(1, len(written))


def test_a_copy_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"new")
    (tmp_path / "target").write_bytes(b"a guest runs from it")
    with pytest.raises(FileExistsError):
        sparse.copy(tmp_path / "source", tmp_path / "target")

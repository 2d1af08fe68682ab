"""What another host sends reaches the disk as plain files of our own, inside the folder, within limits."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from harness.errors import LabError
from harness.matrix import parcel


def archive(*members: tarfile.TarInfo, content: bytes = b"x") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            made.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    made.uid = made.gid = 12345
    made.uname = "daemon"
    return made


def test_no_owner_and_no_special_bits_reach_the_disk(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        parcel.unpack(archive(member("d", tarfile.DIRTYPE, mode=0o7777), member("d/f", mode=0o6777)), tmp_path / "in")
    finally:
        os.umask(umask)
    for name, mode in (("d", 0o700), ("d/f", 0o600)):
        status = (tmp_path / "in" / name).stat()
        assert status.st_mode & 0o7777 == mode
        assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


@pytest.mark.parametrize(
    "strange",
    [
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.LNKTYPE, "../secret"),
        member("node", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
        member("../out"),
        member("a/../../out"),
        member("/out"),
        member("a//b"),
        member("line\nbreak"),
        member("x" * 2000),
    ],
    ids=lambda made: f"{made.name[:12]!r}-{made.type!r}",
)
def test_what_is_no_plain_file_inside_is_refused(tmp_path: Path, strange: tarfile.TarInfo) -> None:
    with pytest.raises(LabError, match="came from another host"):
        parcel.unpack(archive(strange), tmp_path / "in")
    assert [path for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()] == []


def test_nothing_is_written_over_nor_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "in" / "f").symlink_to(tmp_path / "mine")
    for content in (archive(member("f")), archive(member("g"), member("g"))):
        with pytest.raises(LabError, match="cannot be unpacked"):
            parcel.unpack(content, tmp_path / "in")
    assert (tmp_path / "mine").read_text() == "mine"


def test_limits_and_damage_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = archive(member("a"), member("b"), content=b"x" * 5000)
    with pytest.raises(LabError, match="cannot be unpacked"):
        parcel.unpack(good[: len(good) // 2], tmp_path / "cut")
    monkeypatch.setattr(parcel, "LARGEST_SUM", 9000)
    with pytest.raises(LabError, match="from another host has over"):
        parcel.unpack(good, tmp_path / "large")
    monkeypatch.setattr(parcel, "MOST_MEMBERS", 1)
    with pytest.raises(LabError, match="or 1 files"):
        parcel.unpack(archive(member("a"), member("b")), tmp_path / "many")


def test_files_and_folders_arrive_without_links_and_caches(tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    (suite / "__pycache__").mkdir(parents=True)
    (suite / "__pycache__" / "a.pyc").write_bytes(b"")
    (suite / "a.py").write_text("a")
    (suite / "a.py").chmod(0o4755)
    (suite / "link").symlink_to("/etc/passwd")
    parcel.unpack(parcel.pack({"suite0/suite": suite, "driver/d.sys": suite / "a.py"}), tmp_path / "in")
    found = sorted(str(path.relative_to(tmp_path / "in")) for path in (tmp_path / "in").rglob("*") if path.is_file())
    assert found == ["driver/d.sys", "suite0/suite/a.py"]
    parcel.unpack(parcel.pack({"": suite}), tmp_path / "root")
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["a.py"]

"""The image cache: complete or absent, whatever happened to a build."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.cache.manifest import Depth
from harness.errors import LabError
from harness.files import removal
from harness.guests import cache
from harness.setup import doctor


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_published_image_is_listed_with_its_manifest() -> None:
    with cache.building() as folder:
        (folder / "out").mkdir()
        cache.publish(folder / "out", "wine-1", {"key": "1"})
    assert [(entry.folder.name, entry.manifest["key"]) for entry in cache.entries()] == [("wine-1", "1")]


def test_a_build_that_fails_leaves_nothing() -> None:
    def build() -> None:
        with cache.building() as folder:
            (folder / "half").write_text("done")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        build()
    assert list(cache.root().iterdir()) == []


def test_what_a_killed_build_left_is_no_image_and_goes_with_the_next() -> None:
    left = cache.root() / ".building-killed"
    left.mkdir(parents=True)
    (left / cache.MANIFEST).write_text("{}")
    assert cache.entries() == []
    with cache.building():
        assert not left.exists()


def test_a_damaged_manifest_is_no_image() -> None:
    folder = cache.root() / "wine-1"
    folder.mkdir(parents=True)
    (folder / cache.MANIFEST).write_text("{")
    assert cache.entries() == []


def test_publishing_the_same_key_again_replaces_it() -> None:
    for text in ("old", "new"):
        with cache.building() as folder:
            (folder / "out").mkdir()
            (folder / "out/file").write_text(text)
            cache.publish(folder / "out", "wine-1", {})
    assert [(entry.folder / "file").read_text() for entry in cache.entries()] == ["new"]


def test_too_little_space_names_how_much_and_where() -> None:
    with pytest.raises(LabError, match=r"no space for the image: 1000000\.0 GB are needed") as raised:
        cache.require_space(10**15)
    assert str(cache.root()) in raised.value.what


def test_a_second_build_waits_for_the_lock() -> None:
    import threading

    said: list[str] = []
    entered = threading.Event()

    def second() -> None:
        with cache.lock(said.append):
            entered.set()

    with cache.lock(said.append):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
    assert entered.wait(5)
    thread.join()
    assert any("waiting" in line for line in said)


def published(name: str = "wine-1", **facts: str) -> cache.Entry:
    with cache.building() as folder:
        (folder / "out").mkdir()
        for file in ("disk.erofs", "initrd", "vmlinux", "ssh_key"):
            (folder / "out" / file).write_bytes(file.encode() * 1000)
        return cache.publish(folder / "out", name, facts)


@pytest.mark.parametrize("file", ["disk.erofs", "initrd", "vmlinux", "ssh_key"])
@pytest.mark.parametrize("how", ["emptied", "half written", "flipped", "missing"])
def test_a_damaged_file_of_an_image_is_named(file: str, how: str) -> None:
    entry = published()
    assert cache.damage(entry, Depth.USE) == ""
    path = entry.folder / file
    before, content = path.stat(), path.read_bytes()
    if how == "missing":
        removal.remove(path)
    else:
        half, flipped = content[: len(content) // 2], content[:-1] + b"\0"
        path.write_bytes({"emptied": b"", "half written": half, "flipped": flipped}[how])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cache.damage(entry, Depth.USE).startswith(file)


@pytest.mark.parametrize("text", ["", "{", '{"key": "1", "digest": "2", "contents": {}}'])
def test_an_image_with_a_damaged_manifest_is_told(text: str) -> None:
    (published(key="1").folder / cache.MANIFEST).write_text(text)
    assert cache.entries() == []
    (line,) = cache.unreadable()
    assert line.startswith("wine-1 was damaged (manifest.json")


def test_images_of_an_older_version_are_told_once_and_are_not_damaged() -> None:
    assert cache.outdated() == ""
    for key in "123":
        folder = cache.root() / f"wine-{key}"
        folder.mkdir(parents=True)
        (folder / cache.MANIFEST).write_text(json.dumps({"guest": "wine", "key": key, "inputs": "i"}))
    assert cache.unreadable() == []
    assert cache.outdated().startswith("3 cached images are of an older version of the harness and not used")
    (check,) = doctor.cached()
    assert (check.level, check.seen) == (doctor.Level.OK, "3 cached folders have no checksums to compare")


def test_a_windows_image_from_before_manifests_had_digests_is_still_one() -> None:
    folder = cache.root() / "ws2022"
    folder.mkdir(parents=True)
    (folder / cache.MANIFEST).write_text('{"kind": "windows", "guest": "ws2022"}')
    (entry,) = cache.entries()
    assert cache.damage(entry, Depth.ALL) == ""
    assert cache.unreadable() == []


def test_a_new_build_takes_no_file_from_a_running_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    monkeypatch.setattr(cache, "_held", held)
    old = published()
    cache.hold(old)
    new = published()
    assert (old.folder.name, new.folder.name) == ("wine-1", "wine-1.2")
    assert (old.folder / "ssh_key").is_file()
    for handle in held:
        os.close(handle)
    assert published().folder.name == "wine-1"
    assert not new.folder.exists()

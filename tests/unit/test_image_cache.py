"""The image cache: complete or absent, whatever happened to a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import LabError
from harness.images import cache


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_published_image_is_listed_with_its_manifest() -> None:
    with cache.building() as folder:
        (folder / "out").mkdir()
        cache.publish(folder / "out", "wine-1", {"key": "1"})
    assert [(entry.folder.name, entry.manifest) for entry in cache.entries()] == [("wine-1", {"key": "1"})]


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

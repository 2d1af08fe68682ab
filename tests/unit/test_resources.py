"""Where the package finds what is not Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import resources
from harness.errors import LabError


def test_a_checkout_has_them_beside_the_package() -> None:
    assert resources.root() == resources.checkout() == resources.PACKAGE.parent
    assert resources.suite().is_dir()


def test_an_installed_package_has_them_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "harness"
    (package / "_data" / "drivers").mkdir(parents=True)
    monkeypatch.setattr(resources, "PACKAGE", package)
    assert resources.checkout() is None
    assert resources.root() == package / "_data"


def test_a_package_without_its_data_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "harness")
    with pytest.raises(LabError, match="lacks its driver sources"):
        resources.root()


def test_the_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert resources.cache() == tmp_path / "wsk-harness"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert resources.cache() == Path("/home/somebody/.cache/wsk-harness")

"""Where files lie: ``drivers/``, ``images/`` and ``tests/regression/``, and the cache.

In a checkout they are beside the package; in an installed wheel they are inside it, under ``harness/_data``.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

from harness.errors import LabError

PACKAGE = Path(__file__).resolve().parent
FOLDERS = ("drivers", "images", "tests/regression", "tests/defects")
"""Folders beside the package that a wheel carries inside it (``setup.py``)."""


def checkout() -> Path | None:
    """The checkout that this package is part of; ``None`` when it was installed from a wheel."""
    folder = PACKAGE.parent
    return folder if (folder / "pyproject.toml").is_file() and (folder / "drivers").is_dir() else None


def root() -> Path:
    """The folder that holds ``drivers/``, ``images/`` and ``tests/regression/``.

    Raises:
        LabError: the package was installed without its data.
    """
    folder = checkout() or PACKAGE / "_data"
    if not (folder / "drivers").is_dir():
        raise LabError(
            f"this installation of the harness lacks its driver sources and image recipes ({folder})",
            mend="install the wheel that `pip wheel .` makes, or run from a checkout",
        )
    return folder


def suite() -> Path:
    """The regression suite that ``harness run`` uses when no other is named."""
    return root() / "tests" / "regression"


@functools.cache
def digest() -> str:
    """Eight digits of all that decides what a cell does: this package's modules, tables and templates, and the recipes.

    An installed wheel and the checkout that it was built from have the same.
    """
    found = hashlib.sha256()
    files = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".toml", ".j2")]
    own = {path.relative_to(PACKAGE): path for path in files if "_data" not in path.relative_to(PACKAGE).parts}
    recipes = root() / "images"
    guests = {path.relative_to(recipes): path for path in recipes.rglob("*") if path.is_file()}
    for name, path in (*sorted(own.items()), *sorted(guests.items())):
        found.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:8]


def cache() -> Path:
    """Folder of everything that the harness caches (images, drivers, libvirt's knowledge of QEMU); need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wsk-harness"

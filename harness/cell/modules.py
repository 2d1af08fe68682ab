"""Decides which module a name stands for in a process that also loads the person's tests.

pytest puts the folder of a test file first on the module search path, so that a test finds its neighbours. A file
``queue.py`` or a folder ``harness`` there would then stand for Python's own module, or for this package, wherever it
is imported next.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from harness import interpreter


class OwnFirst:
    """Finds Python's own modules and this package where they were when the process began, and nothing else.

    Args:
        path: the module search path before anything of the person was added.
    """

    def __init__(self, path: Sequence[str]) -> None:
        self._path = list(path)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module of that name, ``None`` when it is none of Python's or ours (``importlib.abc.MetaPathFinder``)."""
        if path is not None or (fullname != "harness" and fullname not in sys.stdlib_module_names):
            return None
        return PathFinder.find_spec(fullname, self._path, target)


def prefer_own() -> None:
    """From now on, what the person's folders hold stands for none of Python's modules and not for this package."""
    if not any(isinstance(finder, OwnFirst) for finder in sys.meta_path):
        sys.meta_path.insert(0, OwnFirst(sys.path))


def add_users_folders(*more: Path) -> None:
    """Search the folders of the person's ``PYTHONPATH`` last, and ``more``, for the modules of suites and adapters."""
    folders = (*interpreter.users_modules(), *map(str, more))
    sys.path.extend(folder for folder in folders if folder not in sys.path)

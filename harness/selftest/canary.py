"""A person's files for a command to do harm to: a working folder and one beside it, each with a repository in it.

``harness test`` starts the faults of ``harness defects`` there, and sees afterwards that not a byte has changed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_HEAD = "ref: refs/heads/main\n"


class Canary:
    """The folders, and what they held at first.

    Args:
        folder: an empty one, which takes both.
    """

    def __init__(self, folder: Path) -> None:
        self.here, self._beside = folder / "here", folder / "beside"
        for place in (self.here, self._beside):
            (place / ".git" / "refs" / "heads").mkdir(parents=True)
            (place / ".git" / "HEAD").write_text(_HEAD)
            (place / "thesis.txt").write_text("nobody has a copy of this\n")
            (place / "cells" / "wine--e1000").mkdir(parents=True)
            (place / "cells" / "wine--e1000" / "capture.pcapng").write_bytes(b"mine")
        self._folder = folder
        self._before = self._state()

    def changes(self) -> list[str]:
        """What was removed, changed or added since, one line each."""
        now = self._state()
        names = sorted(self._before.keys() | now.keys())
        return [
            f"{name} was {'removed' if name not in now else 'changed' if name in self._before else 'added'}"
            for name in names
            if self._before.get(name) != now.get(name)
        ]

    def _state(self) -> dict[str, str]:
        """Kind and digest by name."""
        found = {}
        for path in self._folder.rglob("*"):
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
            found[str(path.relative_to(self._folder))] = f"{path.lstat().st_mode:o} {content}"
        return found

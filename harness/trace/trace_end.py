"""Makes and checks the last line of a plan: the number and digest of the lines before it, which reveal a cut or edit.

The line is ``{"end": {"lines": N, "sha256": "..."}}``. The digest is SHA-256 over the lines before it, each in UTF-8
with one line feed. Plans have the line since schema 3.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

KEY = "end"
SINCE = 3
"""The first schema of plans that end with this line."""


class End:
    """Counts and digests the lines of a plan as they are written or read."""

    def __init__(self) -> None:
        self._lines = 0
        self._digest = hashlib.sha256()

    def add(self, line: str) -> None:
        """Count and digest the next line, with or without its line end."""
        self._lines += 1
        self._digest.update(line.rstrip("\r\n").encode("utf-8", "surrogatepass") + b"\n")

    def line(self) -> str:
        """Return the plan's last line, without its line end."""
        return json.dumps({KEY: self._value()}, separators=(",", ":"))

    def difference(self, said: Any) -> str:  # noqa: ANN401 - any JSON value
        """Say how the lines so far differ from the value of the plan's last line; empty if they agree."""
        mine = self._value()
        if said == mine:
            return ""
        lines = said.get("lines") if isinstance(said, dict) else None
        if lines != mine["lines"]:
            return (
                f"the plan was changed after the run: its last line counts {lines!r} lines, there are {mine['lines']}"
            )
        return "the plan was changed after the run: its lines do not have the digest that its last line gives"

    def _value(self) -> dict[str, Any]:
        return {"lines": self._lines, "sha256": self._digest.hexdigest()}

"""Digests of a cell's plan and capture: made when the cell has ended, held in the record, compared when it is read."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.errors import UsageError
from harness.files import inside

_AT_ONCE = 1 << 20


def of_file(root: Path, path: str) -> str:
    """SHA-256 of a file below a folder in hexadecimal; empty when there is no such plain file (``inside.located``)."""
    try:
        with inside.opened(root, path) as file:
            digest = hashlib.sha256()
            while chunk := file.read(_AT_ONCE):
                digest.update(chunk)
            return digest.hexdigest()
    except (OSError, UsageError):
        return ""

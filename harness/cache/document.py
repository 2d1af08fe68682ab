"""One JSON value in one cached file, which is as it was written or is not used."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from harness.cache import durable


def write(path: Path, value: dict[str, Any]) -> None:
    """Write the value; its folder is made.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write(path, json.dumps({"digest": _digest(value), "value": value}).encode())


def read(path: Path) -> dict[str, Any] | None:
    """The value; ``None`` when the file is missing, or of a version that wrote no digests.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ValueError(f"it cannot be read: {error}") from None
    if isinstance(found, dict) and not {"value", "digest"} & found.keys():
        return None  # of an older version, which wrote no digest
    value = found.get("value") if isinstance(found, dict) else None
    if not isinstance(value, dict) or found.get("digest") != _digest(value):
        raise ValueError("it does not fit its own digest")
    return value


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

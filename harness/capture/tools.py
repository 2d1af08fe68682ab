"""Versions of the capture's tools, asked once for each installed file: asking tshark takes as long as starting it."""

from __future__ import annotations

import contextlib
import re
import subprocess
from pathlib import Path

from harness import children, resources
from harness.cache import document
from harness.files import ownership

_SECONDS = 20.0


def version(tool: str) -> str:
    """Version of an installed tool ("4.0.17"); empty when it does not say.

    The answer is kept in the cache for as long as the tool's file has the same size and time.
    """
    path = children.find(tool)
    if path is None:
        return ""
    status = Path(path).resolve().stat()
    stamp = f"{path} {status.st_size} {status.st_mtime_ns}"
    file = resources.cache() / "tools.json"
    try:
        known = document.read(file) or {}
    except ValueError:
        known = {}
    kept = known.get(tool, {})
    if kept.get("file") == stamp:
        return str(kept["version"])
    found = _ask(path)
    if found:
        with contextlib.suppress(OSError):  # asked again the next time
            ownership.claim_cache(file.parent, file.parent)
            document.write(file, {**known, tool: {"file": stamp, "version": found}})
    return found


def _ask(path: str) -> str:
    try:
        answer = children.run((path, "--version"), seconds=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"(?<=\s)\d[\w.+-]*", (answer.stdout.splitlines() or [""])[0])
    return match[0] if match else ""

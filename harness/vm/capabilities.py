"""What libvirt found out of QEMU and keeps in our cache: checked before libvirt reads it.

Libvirt writes these files itself, so they have no manifest of ours: their checksums are recorded when a cell ends, and
a file that is no longer what was recorded is removed before the next cell begins. Libvirt then asks QEMU again, which
takes seconds. A file that is damaged before it was ever recorded is not noticed here.
"""

from __future__ import annotations

from pathlib import Path

from harness import resources
from harness.cache import blocks, document
from harness.files import ownership, removal

_RECORD = "capabilities.json"
_FILES = "qemu/capabilities/*.xml"


def sweep(folder: Path) -> list[str]:
    """Remove the files that are not what was recorded; gives a line for each, and one for a damaged record.

    Args:
        folder: libvirt's folder in the cache.
    """
    try:
        known = document.read(folder / _RECORD)
    except ValueError as damage:
        return [f"cached {_RECORD} was damaged ({damage}): rebuilt"]
    lines = []
    for path in sorted(folder.glob(_FILES)):
        name = path.relative_to(folder).as_posix()
        if known is not None and name in known and known[name] != _sums(path):
            ownership.claim_cache(folder, resources.cache())
            removal.remove(path, quiet=True)
            lines.append(f"cached {name} was damaged: rebuilt")
    return lines


def record(folder: Path) -> None:
    """Record the files as they are, where that is news.

    Raises:
        OSError: the record cannot be written.
    """
    seen = {path.relative_to(folder).as_posix(): _sums(path) for path in sorted(folder.glob(_FILES))}
    try:
        known = document.read(folder / _RECORD)
    except ValueError:
        known = None
    if seen and seen != known:
        document.write(folder / _RECORD, seen)


def _sums(path: Path) -> str:
    try:
        return f"{path.stat().st_size} {blocks.joined(blocks.checksums(path))}"
    except OSError:
        return ""

"""The image cache: one folder per image, complete or absent, named by a key of everything that went into it.

An image is built in a temporary folder and renamed when it is complete, under a lock, so that a killed
build leaves nothing that the next one could mistake for an image.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import ownership, removal, resources
from harness.errors import LabError

MANIFEST = "manifest.json"
_TEMPORARY = ".building-"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One complete image in the cache: its folder and what its manifest says."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes that the image takes on the disk (allocated blocks, so holes cost nothing)."""
        return sum(file.stat().st_blocks * 512 for file in self.folder.rglob("*") if file.is_file())


def root() -> Path:
    """Folder of all cached images; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "wsk-harness" / "images"


def entries() -> list[Entry]:
    """All complete images, newest first."""
    found: list[tuple[float, Entry]] = []
    for manifest in root().glob(f"[!.]*/{MANIFEST}"):
        try:
            found.append((manifest.stat().st_mtime, Entry(manifest.parent, json.loads(manifest.read_text()))))
        except (OSError, ValueError):
            continue  # removed or damaged meanwhile: not a complete image
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0], reverse=True)]


def require_space(needed: int) -> None:
    """Make sure that the cache's file system has room for a build.

    Args:
        needed: bytes that a build takes at its peak.

    Raises:
        LabError: there is less; says how much is needed, how much there is, and where.
    """
    folder = _made_root()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise LabError(
            f"no space for the image: {needed / 1e9:.1f} GB are needed while it is built, "
            f"{free / 1e9:.1f} GB are free in {folder}",
            mend="free some, or set XDG_CACHE_HOME to a folder on a larger file system",
        )


@contextmanager
def lock(progress: Progress) -> Iterator[None]:
    """Hold the cache for a build; a second build waits until the first has ended or died."""
    folder = _made_root()
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another build holds the image cache; waiting for it to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def building() -> Iterator[Path]:
    """A temporary folder for a build, gone at the end unless it was published. Call with the lock held."""
    folder = _made_root()
    with removal.scratch(_TEMPORARY, beside=folder) as temporary:
        yield temporary


def publish(built: Path, name: str, manifest: dict[str, Any]) -> Entry:
    """Turn a finished folder into the cached image ``name``, in one step that no observer sees half done."""
    (built / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    target = root() / name
    if target.exists():  # the same key: the same image; a fresh one has other SSH keys
        removal.remove(target)
    removal.replace(built, target)
    return Entry(target, manifest)


def _made_root() -> Path:
    folder = root()
    try:
        ownership.claim_cache(folder, resources.cache())
    except OSError as error:
        raise LabError(
            f"cannot make the image cache {folder}: {error.strerror}", mend="set XDG_CACHE_HOME to a folder of yours"
        ) from error
    return folder

"""The image cache: one folder per image, complete or absent, named by a key of everything that went into it.

An image is built in a temporary folder and renamed when all of it has reached the disk, under a lock, so that a killed
build leaves nothing that the next one could mistake for an image. It is checked as ``harness.cache.manifest`` says.

A process that uses an image holds a shared lock on its folder. A new build of the same key gets a name of its own
beside a folder that is held, so that no running cell loses its files, and removes those that nobody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import resources
from harness.cache import durable, manifest
from harness.cache.manifest import DamagedError, Depth, OlderError
from harness.errors import LabError
from harness.files import ownership, removal

MANIFEST = manifest.NAME
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
    """All images with a whole manifest, newest first; their files are not looked at (``damage``)."""
    found: list[tuple[float, Entry]] = []
    for path in root().glob(f"[!.]*/{MANIFEST}"):
        try:
            found.append((path.stat().st_mtime, Entry(path.parent, _manifest(path.parent))))
        except (OSError, DamagedError):
            continue  # removed meanwhile, or ``unreadable``
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0], reverse=True)]


def unreadable() -> list[str]:
    """Folders in the place of images whose manifest is damaged or missing, each with what is wrong.

    Those of older versions are left out (``outdated``).
    """
    lines = []
    for folder in sorted(root().glob("[!.]*/")):
        try:
            _manifest(folder)
        except OlderError:
            continue
        except DamagedError as damage:
            lines.append(f"{folder.name} was damaged ({damage})")
    return lines


def outdated() -> str:
    """A line on the images of older versions, which are not used; empty when there is none."""
    count = 0
    for folder in root().glob("[!.]*/"):
        try:
            _manifest(folder)
        except OlderError:
            count += 1
        except DamagedError:
            continue
    if not count:
        return ""
    those = "1 cached image is" if count == 1 else f"{count} cached images are"
    return f"{those} of an older version of the harness and not used: the image is built again"


def _manifest(folder: Path) -> dict[str, Any]:
    """The manifest; a Windows image from before manifests had digests is taken as it is: it takes hours to build."""
    try:
        return manifest.read(folder)
    except DamagedError as damage:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((folder / MANIFEST).read_text())
            if isinstance(found, dict) and found.get("kind") == "windows" and "digest" not in found:
                return found
        raise damage


def damage(entry: Entry, depth: Depth) -> str:
    """What is wrong with an image's files; empty when nothing is, or nothing is known of an old Windows image."""
    if "contents" not in entry.manifest:
        return ""
    try:
        manifest.check(entry.folder, entry.manifest, depth)
    except DamagedError as found:
        return str(found)
    return ""


_held: list[int] = []


def hold(entry: Entry) -> bool:
    """Keep an image from being removed while this process lives; false when it has just been removed."""
    try:
        handle = os.open(entry.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    _held.append(handle)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_SH)  # the other side has its lock only while it removes the folder
    return entry.folder.is_dir() and os.path.samestat(os.fstat(handle), entry.folder.stat())


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


def publish(built: Path, name: str, facts: dict[str, Any]) -> Entry:
    """Turn a finished folder into the cached image ``name``, in one step that no observer sees half done.

    Call with the lock held. Earlier images of the name go, as the fresh one has other SSH keys; where a running cell
    holds one, the fresh one is called ``name.2`` or the like.
    """
    made = manifest.write(built, facts)
    for old in (root() / name, *root().glob(f"{name}.[0-9]*")):
        _remove_unless_held(old)
    names = (name, *(f"{name}.{number}" for number in range(2, 1000)))
    target = next(root() / each for each in names if not (root() / each).exists())
    durable.publish(built, target)
    return Entry(target, made)


def _remove_unless_held(folder: Path) -> None:
    """Remove an image's folder, locked meanwhile, unless a process holds it."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        removal.remove(folder, quiet=True)
    except BlockingIOError:
        return
    finally:
        os.close(handle)


def _made_root() -> Path:
    folder = root()
    try:
        ownership.claim_cache(folder, resources.cache())
    except OSError as error:
        raise LabError(
            f"cannot make the image cache {folder}: {error.strerror}", mend="set XDG_CACHE_HOME to a folder of yours"
        ) from error
    return folder

"""The cache of saved guests: one folder per state, complete or absent, named by a key of all that went into it.

A state is what ``virDomainSave`` wrote, the guest's memory, and its disks if it writes to any. Each is made in a
temporary folder, which gets its name when all of it has reached the disk; the least recently used go first when the
cache outgrows its limit. A guest that runs from a state has its files open, so it may run on when the state has gone.

A state is checked as ``harness.cache.manifest`` says: sizes and times of its files when it is looked for, their blocks
while a guest is restored from it, all of their blocks when a case of such a guest failed. A damaged state is removed,
and ``States.damaged`` has a line that says so; whoever starts the guest makes the state again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import resources
from harness.cache import durable, manifest
from harness.cache.manifest import DamagedError, Depth
from harness.errors import LabError
from harness.files import ownership, removal

STATE, RAM, MANIFEST = "state", "ram", manifest.NAME
LIMIT_BYTES = 6 << 30
_RESERVE_BYTES = 1 << 30  # disk space that a state must leave to others
_TEMPORARY = ".saving-"


def key(parts: Mapping[str, str], files: Iterable[Path] = ()) -> str:
    """Name of the state that these inputs make.

    Args:
        parts: everything that decides what the guest is, by name (domain XML, versions, image key, ...).
        files: files whose bytes take part: sources, driver, relay.
    """
    digests = {str(file.name): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    text = json.dumps([dict(parts), digests], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class StateError(LabError):
    """The cache cannot take a state; a guest can be booted without it."""


class DamagedStateError(LabError):
    """A state is not what was saved, and has been removed; the guest can be booted, and the state made again."""


@dataclass(frozen=True, slots=True)
class Saved:
    """One complete state."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(file.stat().st_blocks * 512 for file in self.folder.iterdir())


class States:
    """The cache.

    Args:
        folder: where; the harness's cache by default.
        limit: bytes that all states together may take.
    """

    def __init__(self, folder: Path | None = None, limit: int = LIMIT_BYTES) -> None:
        self.folder = folder or resources.cache() / "states"
        self._limit = limit
        self.damaged: list[str] = []  # what was found damaged and removed, a line each

    def find(self, name: str) -> Saved | None:
        """The state of that key, marked as just used; ``None`` when there is none, or when it is damaged."""
        if any(self.folder.glob(f"{_TEMPORARY}*")):
            with self._locked():
                self._sweep()
        folder = self.folder / name
        if not folder.is_dir():
            return None
        try:
            found = manifest.read(folder)
            manifest.check(folder, found, Depth.STAMPS)
            os.utime(folder)
        except OSError:  # gone, or not ours to use
            return None
        except DamagedError as damage:
            self._drop(name, damage)
            return None
        return Saved(folder, found)

    def require_whole(self, state: Saved, depth: Depth = Depth.USE) -> None:
        """Compare a state's content with its manifest; a damaged one is removed.

        Args:
            state: from ``find`` or ``save``.
            depth: how much is read.

        Raises:
            DamagedStateError: names the file and the block that differs.
        """
        try:
            manifest.check(state.folder, state.manifest, depth)
        except DamagedError as damage:
            if not state.folder.is_dir():  # made room for another, or made anew, while it was read
                return
            self._drop(state.folder.name, damage)
            raise DamagedStateError(self.damaged[-1]) from None

    def _drop(self, name: str, damage: DamagedError) -> None:
        self.damaged.append(f"cached state {name} was damaged ({damage}): rebuilt")
        self.discard(name)

    def save(self, name: str, write: Callable[[Path], None], facts: Mapping[str, Any]) -> Saved:
        """Make a state: ``write`` writes its files into the folder that it is given, which is then published whole.

        Raises:
            StateError: no space; nothing is left behind then.
            LabError: ``write`` raised it; nothing is left behind either.
        """
        with self._locked():
            self._make_room()
            temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self.folder))
            ownership.adopt_new(temporary)
            alive = _hold(temporary)
        try:
            write(temporary)
            made = manifest.write(temporary, {**facts, "saved": time.time()})
            with self._locked():
                removal.remove(self.folder / name, quiet=True)
                durable.publish(temporary, self.folder / name)
                self._evict(keep=name)
        except OSError as error:
            raise StateError(f"the guest's state cannot be kept in {self.folder}: {error.strerror or error}") from error
        finally:
            removal.remove(temporary, quiet=True)
            if alive is not None:
                os.close(alive)
        return Saved(self.folder / name, made)

    def discard(self, name: str) -> None:
        """Forget a state that is not to be trusted."""
        with self._locked():
            removal.remove(self.folder / name, quiet=True)

    def entries(self) -> list[Saved]:
        """All states, the most recently used first; the manifest of a damaged one is empty."""
        found = []
        for folder in self.folder.glob("[!.]*/"):
            with contextlib.suppress(OSError):
                try:
                    held = manifest.read(folder)
                except DamagedError:
                    held = {}
                found.append((folder.stat().st_mtime, Saved(folder, held)))
        return [saved for _, saved in sorted(found, key=lambda pair: pair[0], reverse=True)]

    def _make_room(self) -> None:
        self._sweep()
        for saved in reversed(self.entries()):
            if shutil.disk_usage(self.folder).free >= _RESERVE_BYTES:
                return
            removal.remove(saved.folder, quiet=True)
        if (free := shutil.disk_usage(self.folder).free) < _RESERVE_BYTES:
            raise StateError(f"no space for saved guests: {free / 1e9:.1f} GB are free in {self.folder}")

    def _sweep(self) -> None:
        """Remove what workers that were killed left half written; those that live hold a lock on theirs."""
        for left in self.folder.glob(f"{_TEMPORARY}*"):
            if (held := _hold(left)) is not None:
                removal.remove(left, quiet=True)
                os.close(held)

    def _evict(self, keep: str) -> None:
        total = 0
        for saved in self.entries():
            with contextlib.suppress(OSError):
                total += saved.size
                if total > self._limit and saved.folder.name != keep:
                    total -= saved.size
                    removal.remove(saved.folder, quiet=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            ownership.claim_cache(self.folder, resources.cache())
            with (self.folder / ".lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise StateError(f"the cache of saved guests {self.folder} cannot be used: {error.strerror}") from error


def _hold(folder: Path) -> int | None:
    """An open descriptor that keeps a lock on the folder; ``None`` when another has it, or the folder is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor

"""Which folders belong to the harness: a marker file names each of them, and a lock on it says who works there now.

``harness.files.removal`` removes nothing outside such a folder, and every command that writes into a folder of the
user's choice asks ``claim`` first. A folder is the harness's own when this process made it (``adopt_new``), or when
it holds a marker that names it: by its path, or by its device and inode, so that a folder may be moved or mounted
elsewhere, but a marker that somebody copied into another folder says nothing about that one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UsageError

MARKER = ".wsk-harness.json"

_made: dict[tuple[int, int], Path] = {}
"""Real path of each folder that this process made, by device and inode."""
_held: dict[tuple[int, int], int] = {}
"""Descriptor of the locked marker of each folder that this process has claimed, by device and inode."""


def adopt_new(folder: Path) -> None:
    """Remember a folder that this process has just made, and that nobody else can have put anything into."""
    _made[_identity(folder)] = folder.resolve()


def forget(folder: Path) -> None:
    """Forget a folder that is about to be removed: its inode will be another's."""
    _made.pop(_identity(folder), None)


def made_here(folder: Path) -> bool:
    """Whether this process made the folder."""
    try:
        return _made.get(_identity(folder)) == folder.resolve()
    except OSError:
        return False


def is_own(folder: Path) -> bool:
    """Whether the harness made the folder: this process, or an earlier one whose marker is in it."""
    return made_here(folder) or _marked(folder)


def owner_of(path: Path) -> Path | None:
    """The nearest folder above ``path`` that the harness made, with no link between them; ``None`` without one."""
    for folder in path.parents:
        if is_own(folder):
            return folder
        if folder.is_symlink():
            return None
    return None


def mark(folder: Path) -> None:
    """Put the marker into a folder that the harness made, or that it has found to be its own by other evidence."""
    device, inode = _identity(folder)
    text = json.dumps({"made by": "wsk-harness", "folder": str(folder.resolve()), "device": device, "inode": inode})
    handle, name = tempfile.mkstemp(dir=folder, prefix=f"{MARKER}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        os.replace(name, folder / MARKER)  # whole at once: another process reads it now, and removes nothing without it
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # on a full disk: with it the folder would not be empty, and nobody's
        raise


def claim(output: Path, *, ours: Callable[[Path], bool] = lambda _: False) -> Path:
    """Make a folder for what a command writes, or take one that the harness made; and hold it until the process ends.

    Args:
        output: the folder; made with its parents when it is missing.
        ours: whether a folder without a marker that is not empty is the harness's nevertheless, as those of older
            versions are.

    Returns:
        its absolute path.

    Raises:
        UsageError: it holds files and the harness did not make it, it is no folder, it cannot be made or written, or
            another process works in it.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        empty = not any(output.iterdir())
        if not empty and not _marked(output) and not ours(output):
            raise UsageError(f"{output} is not empty, and the harness did not make it", mend="name another with -o")
        if empty or not _marked(output):
            mark(output)
        if _identity(output) not in _held:
            _held[_identity(output)] = _hold(output)
    except FileExistsError as error:
        raise UsageError(f"{output} is no folder", mend="name another with -o") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(f"cannot write into the folder {output}: {reason}", mend="name another with -o") from error
    return output.absolute()


@contextmanager
def claimed(output: Path, *, ours: Callable[[Path], bool] = lambda _: False) -> Iterator[Path]:
    """Hold a folder, as ``claim`` does, while the context lasts; gives its absolute path."""
    already = output.is_dir() and _identity(output) in _held
    folder = claim(output, ours=ours)
    identity = _identity(folder)
    try:
        yield folder
    finally:
        if not already:
            os.close(_held.pop(identity))


def claim_cache(folder: Path, cache: Path) -> None:
    """Make a folder for what is kept, in the harness's cache as a rule: everything in there is the harness's own.

    Raises:
        OSError: it cannot be made or marked.
        UsageError: it lies elsewhere, holds files, and the harness did not make it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if owner_of(folder / MARKER) is not None:
        return
    if folder.is_relative_to(cache):
        mark(cache)
    elif any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty, and the harness did not make it")
    else:
        mark(folder)


def _hold(folder: Path) -> int:
    """An open descriptor of the folder's marker with a lock on it.

    Raises:
        UsageError: another process has the lock.
    """
    descriptor = os.open(folder / MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), (folder / MARKER).stat()):
            raise BlockingIOError  # another process began at this moment, and wrote the marker anew
    except BlockingIOError as error:
        os.close(descriptor)
        raise UsageError(
            f"another process of the harness works in {folder}", mend="let it end, or name another folder with -o"
        ) from error
    return descriptor


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _marked(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, encoding="utf-8") as file:
            value = json.loads(file.read(1 << 16))
        device, inode = _identity(folder)
        named = value["folder"] == str(folder.resolve()) or (value["device"], value["inode"]) == (device, inode)
    except (OSError, ValueError, TypeError, KeyError):
        return False
    return bool(named and value.get("made by") == "wsk-harness")

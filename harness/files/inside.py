"""Paths inside a run's folder that may have come from elsewhere: plain names only, and no links.

A record names its cells' folders and files. Whoever made the record may have written any text there, and may have put
a link where a file is named. So a cell's folder is ``cells/NAME`` and a file a plain name in it, each step of the way
is looked at before it is taken, and a file with a second name (a hard link) is refused: it may lie elsewhere, too.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from harness.errors import UsageError

CELLS = "cells"
LONGEST_NAME = 200
DEEPEST = 20
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=,@ -]*")
_BESIDE = re.compile(r"\.\./\.\./(cells/[^/]+/[^/]+)")
"""How records before this rule named a file of the cell's other attempt."""


def is_plain(name: str) -> bool:
    """Whether a text is a name of a file or folder and nothing more: no path, no hidden file, no control character."""
    return len(name) <= LONGEST_NAME and _NAME.fullmatch(name) is not None


def is_cell_folder(text: str) -> bool:
    """Whether a text is ``cells/NAME`` with a plain name."""
    first, slash, name = text.partition("/")
    return first == CELLS and bool(slash) and is_plain(name)


def evidence(cell_folder: str, text: str) -> str:
    """The path, relative to the run's folder, of a file that a cell's record names.

    Args:
        cell_folder: ``cells/NAME``; empty for a cell without a folder.
        text: a plain name in that folder, or ``cells/NAME/FILE`` for a file of the cell's other attempt.

    Returns:
        the path with ``/`` between its parts; empty when the text is no such name.
    """
    beside = _BESIDE.fullmatch(text)
    path = beside[1] if beside else text if "/" in text else f"{cell_folder}/{text}"
    folder, _, name = path.rpartition("/")
    return path if is_cell_folder(folder) and is_plain(name) else ""


def url(path: str) -> str:
    """A path relative to the run's folder as a relative URL."""
    return "/".join(quote(part, safe="") for part in PurePosixPath(path).parts)


def located(root: Path, path: str) -> Path:
    """The regular file at a relative path below a folder, reached without any link.

    Args:
        root: the run's folder; it may be reached by links, for the user named it.
        path: relative, with ``/`` between its parts.

    Raises:
        UsageError: a part is a link, the file has a second name, or it is no regular file; the text names it.
        FileNotFoundError: there is no such file.
    """
    parts = PurePosixPath(path).parts
    if not parts or any(part in ("..", "/") for part in parts):
        raise UsageError(f"{path!r} is not a path inside {root}")
    place = root
    for part in parts[:-1]:
        place = place / part
        if not stat.S_ISDIR(place.lstat().st_mode):
            raise UsageError(f"{place} is not a folder (links are not followed)")
    place = place / parts[-1]
    _require_file(place, place.lstat())
    return place


def opened(root: Path, path: str) -> BinaryIO:
    """The file at a relative path below a folder, open for reading.

    Raises:
        UsageError: as ``located``.
        OSError: it cannot be read.
    """
    return plain_file(located(root, path))


def plain_file(path: Path) -> BinaryIO:
    """A regular file with one name, open for reading; a FIFO or a device is refused before anything waits for it.

    Raises:
        UsageError: it is a link, has a second name, or is no regular file.
        OSError: it cannot be read.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            _require_file(path, path.lstat())
        raise
    try:
        _require_file(path, os.fstat(number))
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def named_file(path: Path) -> BinaryIO:
    """A regular file that the user named, open for reading: links are followed, a FIFO or a device is refused.

    Raises:
        UsageError: it is no regular file.
        OSError: it cannot be read.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", closefd=True)
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise UsageError(f"{path} is not a regular file")


def files(root: Path, folder: str) -> Iterator[str]:
    """Paths, relative to ``root``, of all files below one of its folders, sorted.

    Raises:
        UsageError: there is a link, a file with a second name, anything that is no regular file and no folder, or
            folders deeper than ``DEEPEST``.
    """
    if folder.count("/") > DEEPEST:
        raise UsageError(f"{root / folder} lies deeper than the {DEEPEST} folders that are looked into")
    with os.scandir(root / folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        inner = f"{folder}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from files(root, inner)
        else:
            _require_file(root / inner, entry.stat(follow_symlinks=False))
            yield inner


def _require_file(path: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise UsageError(f"{path} is a link, which is not followed", mend="put a copy of the file there")
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path} is not a regular file")
    if status.st_nlink > 1:
        raise UsageError(f"{path} has {status.st_nlink} hard links", mend="put a copy of the file there")

"""Writes files and folders so that a crash or a power cut leaves the whole new content, the old one, or nothing.

The order is always the same: write under a temporary name, fsync the file, rename it, fsync the folder that has the
name. A file system may otherwise keep the rename and lose the bytes.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.files import removal


def write(path: Path, content: bytes) -> None:
    """Put ``content`` into ``path`` in one step; its folder must be one of the harness's.

    Raises:
        OSError: no space, or the folder cannot be written.
    """
    removal.write_whole(path, content)
    sync(path.parent)


def sync(path: Path) -> None:
    """Write a file's or a folder's own content to the disk (fsync)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Write a folder, and all files and folders below it, to the disk; links are left to their folders."""
    for path in folder.rglob("*"):
        if not path.is_symlink() and (path.is_file() or path.is_dir()):
            sync(path)
    sync(folder)


def publish(folder: Path, target: Path) -> None:
    """Give a finished folder its name, once all that is in it has reached the disk.

    Raises:
        OSError: ``target`` exists and is not empty, or the disk takes no more.
    """
    sync_tree(folder)
    removal.replace(folder, target)
    sync(target.parent)


def replace_files(folder: Path, target: Path, last: str) -> None:
    """Move every file of a finished folder over the file of its name in another one, each in one step.

    Args:
        folder: holds files only, which have reached the disk.
        target: an existing folder; other files in it stay.
        last: name of the file that makes the others valid.

    Raises:
        OSError: the disk takes no more, or a folder has the name of a file.
    """
    names = sorted(path.name for path in folder.iterdir())
    for name in (*(name for name in names if name != last), last):
        removal.replace(folder / name, target / name)
        sync(target)

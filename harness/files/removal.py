"""The only module that removes, truncates or renames over anything on a disk.

A target must lie in a folder that ``harness.files.ownership`` knows as the harness's own; all else is refused with
``RefusedError``. So are the working folder, the home folder and what holds one of them, mount points, repositories,
and whatever a link leads to.
``tests/unit/test_removal_lint.py`` holds that no other module calls ``rmtree``, ``unlink``, ``rename`` or the like.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from harness.errors import LabError
from harness.files import ownership


class RefusedError(LabError):
    """Something was to be removed, or written over, that the harness did not make or must not touch."""


def remove(target: Path, *, quiet: bool = False) -> None:
    """Remove a file or a whole folder; nothing happens when it is not there.

    Args:
        target: absolute path, below a folder of the harness.
        quiet: leave what the system does not let us remove, without an error.

    Raises:
        RefusedError: the target must not be removed; nothing was.
        OSError: the system does not allow it, unless ``quiet``.
    """
    if target.is_absolute() and not os.path.lexists(target):
        return
    owner, real = _checked(target)
    try:
        status = real.lstat()
        if stat.S_ISDIR(status.st_mode):
            _require_removable(real, nested=not ownership.made_here(owner))
            ownership.forget(real)
            shutil.rmtree(real)
        else:
            real.unlink()
    except FileNotFoundError:
        return
    except OSError:
        if not quiet:
            raise


def remove_empty(folder: Path) -> bool:
    """Remove a folder of the harness if nothing is in it; gives whether it is gone.

    Args:
        folder: absolute path, below a folder of the harness.

    Raises:
        RefusedError: the folder is not to be removed, whatever is in it.
    """
    owner, real = _checked(folder)
    _require_removable(real, nested=not ownership.made_here(owner))
    try:
        real.rmdir()
    except OSError:
        return not os.path.lexists(real)
    return True


def replace(made: Path, target: Path) -> Path:
    """Rename what was made under another name to its own one, in one step; a file that has that name is replaced.

    Args:
        made: absolute path of a file or folder, below a folder of the harness.
        target: absolute path, likewise. A folder is not replaced: remove it first.

    Returns:
        the target.

    Raises:
        RefusedError: one of them is not to be touched; nothing was.
        OSError: the system does not allow it.
    """
    (_, source), (_, goal) = _checked(made), _checked(target)
    os.rename(source, goal)
    return target


def set_aside(path: Path, name: str) -> Path:
    """Give a plain file another name in its folder, one that nothing has yet; gives the new path.

    The caller has seen by the file's content that the harness wrote it.

    Raises:
        RefusedError: it is no plain file, or something has that name.
        OSError: the system does not allow it.
    """
    target = path.with_name(name)
    if not stat.S_ISREG(path.lstat().st_mode) or os.path.lexists(target):
        raise RefusedError(f"{path} is not renamed to {target}")
    os.rename(path, target)
    return target


def truncate(target: Path, size: int) -> None:
    """Cut a file of the harness to ``size`` bytes.

    Raises:
        RefusedError: the file is not to be touched.
        OSError: the system does not allow it.
    """
    os.truncate(_checked(target)[1], size)


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file so that a reader, or a crash, sees the old content or the new one and never a part.

    The folder must be one that the calling command has claimed (``harness.files.ownership.claim``). The file gets the
    rights that the process's umask gives to any new file.

    Raises:
        RefusedError: something other than a plain file has the name.
        OSError: it cannot be written; the old content is still there.
    """
    with whole(path) as file:
        file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
    return path


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that gets its name, ``path``, when the context ends without an error; see ``write_whole``.

    Raises:
        RefusedError: something other than a plain file has the name.
        OSError: it cannot be written; the old content is still there.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise RefusedError(f"{path} is no plain file, so it is not written over")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        os.rename(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


@contextmanager
def scratch(prefix: str, beside: Path | None = None) -> Iterator[Path]:
    """A new folder of this process's own, its owner's alone, which is removed at the end with all that is in it.

    Args:
        prefix: of its name.
        beside: folder to make it in; the system's folder for temporary files by default. In a folder of the harness,
            scratch folders of this prefix that killed processes left are removed first.
    """
    if beside is None:
        folder = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
        lock = None
    else:
        folder, lock = _beside(beside.absolute(), prefix)
    ownership.adopt_new(folder)
    try:
        yield folder
    finally:
        discard(folder)
        if lock is not None:
            os.close(lock)


def discard(folder: Path) -> None:
    """Remove a whole folder that this process made (``scratch``, ``ownership.adopt_new``), itself included.

    What the system does not let us remove is left.

    Raises:
        RefusedError: this process did not make it, or it is the working folder, a mount point or the like.
    """
    if folder.is_symlink() or (folder.exists() and not ownership.made_here(folder)):
        raise RefusedError(f"{folder} is not removed: this process did not make it")
    if folder.exists():
        _require_removable(folder.resolve(), nested=False)
        ownership.forget(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _beside(place: Path, prefix: str) -> tuple[Path, int | None]:
    """A new folder in ``place`` and a descriptor with a lock on it, which says that its process lives."""
    with _locked(place):  # so that nobody sweeps a folder that is made but not yet locked
        if ownership.is_own(place) or ownership.owner_of(place) is not None:
            for left in place.glob(f"{glob.escape(prefix)}*"):
                if left.is_dir() and not left.is_symlink() and (held := _hold(left)) is not None:
                    with contextlib.suppress(RefusedError):
                        remove(left, quiet=True)
                    os.close(held)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        return folder, _hold(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _hold(folder: Path) -> int | None:
    """An open descriptor with a lock on the folder; ``None`` when another process has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _checked(target: Path) -> tuple[Path, Path]:
    """The harness's folder that the target lies in, and the target's path without links in it.

    Raises:
        RefusedError: it does not lie in a folder of the harness, or a link leads to it.
    """
    if not target.is_absolute() or ".." in target.parts:
        raise RefusedError(f"{target} is not touched: only absolute paths without '..' are")
    owner = ownership.owner_of(target)
    if owner is None:
        raise RefusedError(f"{target} is not touched: it does not lie in a folder that the harness made")
    *parents, name = target.relative_to(owner).parts
    real = owner.resolve().joinpath(*parents)
    if ".git" in (*parents, name) or name == ownership.MARKER:
        raise RefusedError(f"{target} is not touched: it is no output of the harness")
    real = real / name
    if real.is_symlink() and not ownership.made_here(owner):
        raise RefusedError(f"{target} is not touched: it is a link, and the harness makes none there")
    return owner, real


def _require_removable(folder: Path, *, nested: bool) -> None:
    """Refuse a folder with which something would go that is not the harness's.

    Args:
        folder: real path.
        nested: refuse repositories inside it as well; a folder that this process made holds its own copies only.

    Raises:
        RefusedError: it is, or holds, the working folder, the home folder, a mount point or a repository.
    """
    for what, place in (("the working folder", _working_folder()), ("the home folder", _home())):
        if place is not None and (place == folder or folder in place.parents):
            raise RefusedError(f"{folder} is not removed: {what} {place} would go with it")
    for mount in _mounts():
        if mount == folder or folder in mount.parents:
            raise RefusedError(f"{folder} is not removed: {mount} is a mount point")
    if os.path.lexists(folder / ".git"):
        raise RefusedError(f"{folder} is not removed: it is a repository")
    if nested:
        for inner, folders, files in os.walk(folder):
            if ".git" in folders or ".git" in files:
                raise RefusedError(f"{folder} is not removed: {inner} is a repository")


def _working_folder() -> Path | None:
    try:
        return Path.cwd().resolve()
    except OSError:
        return None  # it is gone already


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except (OSError, RuntimeError):
        return None


def _mounts() -> list[Path]:
    """Mount points of this process, by proc(5)'s mountinfo: field 5, spaces and the like written as octal numbers."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    points = [line.split(" ")[4] for line in lines]
    return [Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), point)) for point in points]


def _umask() -> int:
    """The process's umask, read without changing it for other threads."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o077

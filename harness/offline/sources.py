"""Opens a run that a replay judges: a run's folder, or a bundle, from which it unpacks one cell at a time.

A bundle is a zip archive of a run's folder and may come from an untrusted source. Only the record, the plans and the
captures are unpacked, each within a limit, into files of the harness in a temporary folder: no name, mode, owner or
link of the archive reaches the disk.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Protocol

from harness.errors import UsageError
from harness.files import inside, removal
from harness.results import reading
from harness.results.record import CAPTURE, FILE_NAME, PLAN

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError)
LARGEST_MEMBER = 512 << 20
LARGEST_SUM = 8 << 30
MOST_MEMBERS = 100_000


class Source(Protocol):
    """A run to be judged: from a folder or from a bundle."""

    def record(self) -> bytes | None:
        """Return the bytes of ``results.json``; ``None`` if there is none."""

    def cells(self) -> dict[str, set[str]]:
        """Map each folder ``cells/NAME`` that holds a plan or a capture, sorted, to which of the two it holds."""

    def cell(self, folder: str) -> Path:
        """Return a folder on the disk with the cell's plan and capture; it is valid until the next call."""


class FolderSource:
    """A run's folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def record(self) -> bytes | None:
        """``results.json``; ``None`` when there is none."""
        path = self._root / FILE_NAME
        return reading.text_of(path) if path.is_symlink() or path.exists() else None

    def cells(self) -> dict[str, set[str]]:
        """Map the cells' folders to the names of plan and capture that they hold.

        Raises:
            UsageError: a folder's name is not plain, or a plan or capture is a link.
        """
        found: dict[str, set[str]] = {}
        for name in (PLAN, CAPTURE):
            for path in self._root.glob(f"{inside.CELLS}/*/{name}"):
                folder = f"{inside.CELLS}/{path.parent.name}"
                if not inside.is_cell_folder(folder):
                    raise UsageError(f"{path.parent} has a name that no cell's folder has")
                inside.located(self._root, f"{folder}/{name}")
                found.setdefault(folder, set()).add(name)
        return dict(sorted(found.items()))

    def cell(self, folder: str) -> Path:
        """Return the cell's own folder."""
        return self._root / folder


class BundleSource:
    """A run in a bundle.

    Args:
        archive: the bundle, open for reading.
        path: the bundle's name, for errors.
        scratch: an empty folder for the unpacked files.

    Raises:
        UsageError: the archive has too many or too large files, or one with a name or of a kind that no bundle has.
    """

    def __init__(self, archive: zipfile.ZipFile, path: Path, scratch: Path) -> None:
        self._archive = archive
        self._path = path
        self._scratch = scratch
        members = archive.infolist()
        if len(members) > MOST_MEMBERS:
            raise UsageError(f"{path} holds {len(members)} files, more than the {MOST_MEMBERS} that a bundle may")
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            self._require_plain(member)
            self._members[member.filename] = member
        self._within = self._beginning()
        total = sum(self._members[self._within + name].file_size for name in self._wanted())
        if total > LARGEST_SUM:
            raise UsageError(f"{path} would unpack to {total} bytes, more than the {LARGEST_SUM >> 30} GiB of a bundle")

    def record(self) -> bytes | None:
        """``results.json``; ``None`` when there is none."""
        member = self._members.get(self._within + FILE_NAME)
        if member is None:
            return None
        if member.file_size > reading.LARGEST:
            raise self._too_large(member, reading.LARGEST)
        with _sound(self._path):
            return self._archive.read(member)

    def cells(self) -> dict[str, set[str]]:
        """Map the cells' folders to the names of plan and capture that they hold."""
        found: dict[str, set[str]] = {}
        for folder, _, name in (name.rpartition("/") for name in sorted(self._wanted())):
            found.setdefault(folder, set()).add(name)
        return found

    def cell(self, folder: str) -> Path:
        """Unpack the cell's plan and capture in place of those of the previous cell; returns their folder."""
        for name in (PLAN, CAPTURE):
            target = self._scratch / name
            with suppress(FileNotFoundError):
                removal.remove(target)
            if member := self._members.get(f"{self._within}{folder}/{name}"):
                self._unpack(member, target)
        return self._scratch

    def _wanted(self) -> list[str]:
        """List the names of plans and captures, from ``cells/`` on."""
        names = [name.removeprefix(self._within) for name in self._members if name.startswith(self._within)]
        wanted = [name for name in names if PurePosixPath(name).name in (PLAN, CAPTURE)]
        return [name for name in wanted if inside.is_cell_folder(name.rpartition("/")[0])]

    def _beginning(self) -> str:
        """Return the prefix of all names: "NAME/" if the archive holds the run in one top folder, or nothing."""
        if FILE_NAME in self._members or any(name.startswith(f"{inside.CELLS}/") for name in self._members):
            return ""
        tops = {name.partition("/")[0] for name in self._members}
        return f"{tops.pop()}/" if len(tops) == 1 else ""

    def _require_plain(self, member: zipfile.ZipInfo) -> None:
        name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or not name.isprintable():
            raise UsageError(f"{self._path} holds a file named {name!r}, which leads out of a bundle")
        if kind not in (0, stat.S_IFDIR if member.is_dir() else stat.S_IFREG):
            raise UsageError(f"{self._path}: {name} is no regular file; a bundle holds no links and no devices")
        if name in self._members:
            raise UsageError(f"{self._path} holds {name} twice")

    def _unpack(self, member: zipfile.ZipInfo, target: Path) -> None:
        if member.file_size > LARGEST_MEMBER:
            raise self._too_large(member, LARGEST_MEMBER)
        if member.file_size > shutil.disk_usage(target.parent).free:
            raise UsageError(
                f"{member.filename} of {self._path} has {member.file_size} bytes, more than there is room for"
            )
        with _sound(self._path), self._archive.open(member) as file, target.open("xb") as out:
            shutil.copyfileobj(file, out, 1 << 20)

    def _too_large(self, member: zipfile.ZipInfo, largest: int) -> UsageError:
        what = f"{member.filename} of {self._path} has {member.file_size} bytes, more than the {largest >> 20} MiB"
        return UsageError(f"{what} that are unpacked of a bundle", mend="unpack it yourself, and replay the folder")


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open the run in a folder or a bundle.

    Raises:
        UsageError: there is no such file, or the bundle is damaged or has contents that no bundle has.
    """
    if path.is_dir():
        yield FolderSource(path)
        return
    with ExitStack() as stack:
        with _sound(path):
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(inside.named_file(path))))
            scratch = stack.enter_context(removal.scratch("harness-replay-"))
        yield BundleSource(archive, path, scratch)


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Turn the block's errors from reading a damaged archive into a ``UsageError`` that names the bundle."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise UsageError(f"{path} is no sound bundle: {error}", mend="make one with `harness replay --pack`") from None

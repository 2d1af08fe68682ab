"""Packs files for another host and unpacks what came from one.

What comes from another host is only bytes with a name: no owner, mode, link or device of the archive reaches the disk,
no file is written over, and no more is unpacked than a limit that is said.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from harness.errors import LabError

LARGEST_SUM = 4 << 30  # bytes of all files
MOST_MEMBERS = 20_000
LONGEST_PATH = 1024


def pack(files: dict[str, Path]) -> bytes:
    """A compressed tar archive of files and folders by the names that they get; the name "" is the root itself."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for name, path in files.items():
            if name:
                archive.add(path, arcname=name, filter=_plain)
            else:
                for child in sorted(path.iterdir()):
                    archive.add(child, arcname=child.name, filter=_plain)
    return buffer.getvalue()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if "__pycache__" in member.name or not (member.isfile() or member.isdir()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def unpack(content: bytes, folder: Path) -> None:
    """Unpack files and folders as this process makes any other: its owner, its umask, no special bits.

    Args:
        content: an archive of ``pack``, or what another host says is one.
        folder: where to; made when it is not there.

    Raises:
        LabError: the archive is damaged, holds what ``pack`` packs none of, or is larger than the limits; what came
            before the fault is on the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = LARGEST_SUM
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r|gz") as archive:
            for count, member in enumerate(archive, 1):
                target = folder / _path(member)
                left -= member.size
                if left < 0 or count > MOST_MEMBERS:
                    raise LabError(
                        f"what came from another host has over {LARGEST_SUM >> 30} GiB or {MOST_MEMBERS} files"
                    )
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                source = archive.extractfile(member)
                assert source is not None  # it is a regular file
                with target.open("xb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise LabError(f"what came from another host cannot be unpacked: {error}") from error


def _path(member: tarfile.TarInfo) -> PurePosixPath:
    """The relative path of a file or folder; it has no part that leads elsewhere."""
    path = PurePosixPath(member.name)
    parts = member.name.rstrip("/").split("/")
    if len(member.name) > LONGEST_PATH or not member.name.isprintable() or not {"", ".", ".."}.isdisjoint(parts):
        raise LabError(f"what came from another host has a file with the path {member.name[:200]!r}")
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise LabError(f"what came from another host has {member.name!r}, which is no plain file and no folder")
    return path

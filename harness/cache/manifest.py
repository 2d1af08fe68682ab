"""The manifest of a cached folder: what each file holds, and how much of that is compared when the folder is used.

The rule, for everything that the harness caches:

1. The manifest is written last, and carries the digest of itself (SHA-256): one that does not fit, is missing or cannot
   be read makes the folder a damaged one.
2. At each use, size and modification time of each file are compared. Where one moved, the file's content is compared by
   blocks (``blocks``); a file whose content fits gets its recorded time back, so that a copied cache is read once.
3. What a guest runs from (memory, devices, disks, kernel) is read at each use as well, since a disk's fault moves no
   time: all blocks up to 256 MiB of data, and that many blocks chosen at random of what has more.
4. ``harness doctor --cache``, and a cell that failed after it was restored from a state, read everything.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from harness.cache import blocks, durable

NAME = "manifest.json"
_CONTENTS, _DIGEST = "contents", "digest"
_MOST_BLOCKS = 256  # of one file that are read at each use


class Depth(Enum):
    """How much is compared."""

    STAMPS = "sizes and times, content where one moved"
    USE = "content too, a random choice of a large file's"
    ALL = "the content of every file"


class DamagedError(Exception):
    """A cached folder does not hold what its manifest says; the text names the file and what differs."""


class OlderError(DamagedError):
    """A cached folder is of a version of the harness whose manifests had no digests. It need not be damaged."""


def write(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Measure every file of a finished folder and write its manifest.

    Args:
        folder: holds plain files only, which nobody changes any more.
        facts: what else the manifest shall say.

    Returns:
        the manifest: the facts, "contents" by file and "digest".

    Raises:
        OSError: a file cannot be read, or the manifest not written.
    """
    contents = {path.relative_to(folder).as_posix(): _measured(path) for path in _files(folder)}
    manifest: dict[str, Any] = json.loads(json.dumps({**facts, _CONTENTS: contents}))
    manifest[_DIGEST] = _digest(manifest)
    durable.write(folder / NAME, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
    return manifest


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a folder.

    Raises:
        DamagedError: it is missing, cannot be read, or is not what was written.
        OlderError: it is of a version that wrote no digests.
    """
    try:
        manifest = json.loads((folder / NAME).read_bytes())
    except FileNotFoundError:
        raise DamagedError(f"{NAME} is missing") from None
    except (OSError, ValueError) as error:
        raise DamagedError(f"{NAME} cannot be read: {error}") from None
    if isinstance(manifest, dict) and not {_CONTENTS, _DIGEST} & manifest.keys():
        raise OlderError("it is of an older version of the harness")
    if not isinstance(manifest, dict) or not isinstance(manifest.get(_CONTENTS), dict):
        raise DamagedError(f"{NAME} names no contents")
    if manifest.get(_DIGEST) != _digest(manifest):
        raise DamagedError(f"{NAME} does not fit its own digest")
    return manifest


def check(folder: Path, manifest: Mapping[str, Any], depth: Depth = Depth.STAMPS) -> None:
    """Compare a folder with its manifest.

    Args:
        folder: the cached folder.
        manifest: as ``read`` gave it.
        depth: how much is compared.

    Raises:
        DamagedError: a file is missing, or differs; the first one found is named.
    """
    for name, wanted in manifest[_CONTENTS].items():
        try:
            _check_file(folder / name, wanted, depth)
        except OSError as error:
            raise DamagedError(f"{name}: {error.strerror or error}") from None
        except DamagedError as damage:
            raise DamagedError(f"{name} {damage}") from None


def _check_file(path: Path, wanted: Mapping[str, Any], depth: Depth) -> None:
    seen = path.stat()
    if seen.st_size != wanted["bytes"]:
        raise DamagedError(f"has {seen.st_size} bytes instead of {wanted['bytes']}")
    moved = seen.st_mtime_ns != wanted["mtime_ns"]
    if depth is Depth.STAMPS and not moved:
        return
    sums = blocks.split(wanted["blocks"])
    chosen: Iterable[int] = range(len(sums))
    if depth is Depth.USE and not moved:
        chosen = _chosen(sums)
    for number, found in blocks.checksums(path, chosen).items():
        if found != sums[number]:
            raise DamagedError(f"differs in block {number} of {len(sums)} (1 MiB each)")
    if moved:
        _put_time_back(path, seen.st_atime_ns, wanted["mtime_ns"])


def _chosen(sums: Sequence[str]) -> list[int]:
    """Blocks to read at a use: those of zeros, which cost next to nothing where they are holes, and so many others."""
    full = [number for number, found in enumerate(sums) if found != blocks.ZEROS]
    if len(full) <= _MOST_BLOCKS:
        return list(range(len(sums)))
    passed = set(full) - set(random.sample(full, _MOST_BLOCKS))
    return [number for number in range(len(sums)) if number not in passed]


def _put_time_back(path: Path, atime_ns: int, mtime_ns: int) -> None:
    try:
        os.utime(path, ns=(atime_ns, mtime_ns))
    except OSError:
        return  # a cache that is read-only here is read again at the next use


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)


def _measured(path: Path) -> dict[str, Any]:
    sums = blocks.joined(blocks.checksums(path))
    seen = path.stat()
    return {"bytes": seen.st_size, "mtime_ns": seen.st_mtime_ns, "blocks": sums}


def _digest(manifest: Mapping[str, Any]) -> str:
    text = json.dumps({key: value for key, value in manifest.items() if key != _DIGEST}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

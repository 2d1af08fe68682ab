"""Opens a capture file as a stream of bytes, whatever compressed it: gzip, bzip2, xz, zstd, lz4 or nothing.

gzip, bzip2 and xz come with Python; zstd and lz4 need a library (``compression.zstd``, ``zstandard``, ``lz4``) or the
command of that name. Compressed data that end early or are damaged end the stream, and ``Source.damage`` says so.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import importlib
import lzma
import subprocess
import zlib
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from harness import children
from harness.errors import UsageError
from harness.files import inside

_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
)
MOST_UNCOMPRESSED = 16 << 30
"""Bytes that are read of a compressed file: few bytes can stand for more than anybody would wait for."""

_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, OSError, RuntimeError, ValueError)


class Source:
    """The bytes of a file, uncompressed, read once from start to end.

    Args:
        path: the file.

    Raises:
        UsageError: it cannot be opened, or nothing here can uncompress it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage = ""
        self._given = 0
        self._process: subprocess.Popen[bytes] | None = None
        try:
            if path.is_dir():
                raise UsageError(f"{path} is a folder, not a capture file")
            self._file: IO[bytes] = inside.named_file(path)
            head = self._file.read(6)
            self._file.seek(0)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
        self.compression = next((name for magic, name in _MAGIC if head.startswith(magic)), "")
        self._data = self._uncompressed() if self.compression else self._file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` as far as there are bytes; how many there were, 0 at the end."""
        done = 0
        try:
            while done < len(view):
                count = _readinto(self._data, view[done:])
                if not count:
                    break
                done += count
        except _DAMAGE as error:
            self.damage = f"the {self.compression or 'file'} data cannot be read to their end ({error})"
        except Exception as error:  # a library's own exception class
            if not self.compression:
                raise
            self.damage = f"the {self.compression} data cannot be read to their end ({error})"
        if done < len(view) and not self.damage:
            self._check_process()
        self._given += done
        if self.compression and self._given > MOST_UNCOMPRESSED:
            what = (
                f"{self.path} uncompresses to more than the {MOST_UNCOMPRESSED >> 30} GiB that are read of such a file"
            )
            raise UsageError(what, mend="uncompress it to a file first, which may be of any size")
        return done

    def close(self) -> None:
        """Close the file, and end the command that uncompresses it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(*_DAMAGE):
            self._data.close()
        self._file.close()

    def _uncompressed(self) -> IO[bytes]:
        if self.compression == "gzip":
            return cast("IO[bytes]", gzip.GzipFile(fileobj=self._file))
        if self.compression == "bzip2":
            return cast("IO[bytes]", bz2.BZ2File(self._file))
        if self.compression == "xz":
            return cast("IO[bytes]", lzma.LZMAFile(self._file))
        return self._library() or self._command()

    def _library(self) -> IO[bytes] | None:
        """A library's reader of zstd or lz4, the standard library's first."""
        names = ("compression.zstd", "zstandard") if self.compression == "zstd" else ("lz4.frame",)
        for name in names:
            try:
                return cast("IO[bytes]", importlib.import_module(name).open(self._file, "rb"))
            except (ImportError, AttributeError):
                continue
        return None

    def _command(self) -> IO[bytes]:
        command = children.find(self.compression)
        if command is None:
            self._file.close()
            mend = f"install {self.compression}, or uncompress the file first"
            raise UsageError(
                f"{self.path} is compressed with {self.compression}, which nothing here can read", mend=mend
            )
        self._process = children.start(
            [command, "-dc", "--", str(self.path.absolute())], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdout is not None
        return self._process.stdout

    def _check_process(self) -> None:
        if self._process is None or self._process.stderr is None:
            return
        said = self._process.stderr.read(4096).decode(errors="replace").strip()
        if self._process.wait():
            self.damage = f"the {self.compression} data cannot be read to their end ({' '.join(said.split())})"


def _readinto(data: IO[bytes], view: memoryview) -> int:
    """Read once; ``read1`` gives what there is before damage, where ``readinto`` would throw it away."""
    once = getattr(data, "read1", None)
    if once is None:
        return int(data.readinto(view) or 0)  # type: ignore[attr-defined]
    piece = once(len(view))
    view[: len(piece)] = piece
    return len(piece)

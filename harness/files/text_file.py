"""Reads text files that people write or editors save: UTF-8 with or without a byte order mark, any line ends."""

from __future__ import annotations

import codecs
import tomllib
from pathlib import Path
from typing import Any

from harness.errors import UsageError

_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decoded(content: bytes, name: object) -> str:
    """The bytes of a text file as text, without its byte order mark.

    Raises:
        UsageError: they are not UTF-8; UTF-16, which some editors save, is called by its name.
    """
    if content.startswith(_WIDE):
        raise UsageError(f"{name} is UTF-16 or UTF-32 text", mend="save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}:{row}: this is not UTF-8 text", mend="save it as UTF-8") from None


def read(path: Path) -> str:
    """The text of a plain file.

    Raises:
        UsageError: there is none, it is no plain file, it cannot be read, or is not UTF-8.
    """
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"cannot read {path}: it is no plain file")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:  # a NUL in its name
        raise UsageError(f"cannot read {str(path)!r}: {error}") from None
    return decoded(content, path)


def toml(text: str) -> dict[str, Any]:
    """A TOML document.

    Raises:
        tomllib.TOMLDecodeError: it is none, tables or arrays are nested too deeply, or a number is too long to read.
    """
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except RecursionError:
        raise tomllib.TOMLDecodeError("values are nested too deeply (at line 1, column 1)") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:
        raise tomllib.TOMLDecodeError(f"{str(error).split(';')[0]} (at line 1, column 1)") from None

"""Reads a record from an untrusted source: limits its size and numbers, and refuses paths out of the run's folder.

Every fault of the record raises a ``UsageError`` that names the file.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from harness.errors import UsageError
from harness.files import inside

if TYPE_CHECKING:
    from harness.results.record import Results

LARGEST = 256 << 20
"""Largest record that is read, in bytes; a run of ten thousand cases has three million."""

MOST_SHARDS = 9999
_SHARD = re.compile(r"([1-9]\d{0,3})/([1-9]\d{0,3})", re.ASCII)


def text_of(file: Path, largest: int = LARGEST) -> bytes:
    """Read the bytes of a file.

    Raises:
        UsageError: the file is larger than ``largest``, a link, no regular file, or cannot be read.
    """
    try:
        with inside.plain_file(file) as source:
            content = source.read(largest + 1)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    if len(content) > largest:
        raise UsageError(f"{file} is larger than the {largest >> 20} MiB that are read of a record")
    return content


def parsed(content: bytes, where: object) -> Any:  # noqa: ANN401 - any JSON value
    """Parse JSON.

    Args:
        content: UTF-8.
        where: the file's name in errors.

    Raises:
        UsageError: the content is not JSON, is nested too deeply, or holds a number or text that no record can hold.
    """
    try:
        value = json.loads(
            content.decode("utf-8-sig"), parse_constant=_no_number, parse_float=_finite, parse_int=_whole
        )
        if b"\\ud" in content.lower():
            json.dumps(value, ensure_ascii=False).encode()  # an escaped half of a surrogate pair is no text
    except RecursionError:
        raise UsageError(f"{where} is nested too deeply for a record") from None
    except UnicodeEncodeError:
        raise UsageError(f"{where} holds half of a surrogate pair, which is not text") from None
    except ValueError as error:
        raise UsageError(f"{where} is not JSON: {error}") from error
    return value


def require_sound(results: Results, where: object) -> None:
    """Refuse a record that names a file outside the run's folder or an impossible shard.

    Raises:
        UsageError: the record does; the message quotes the first such text.
    """
    if results.run.shard:
        shard_of(results.run.shard, where)
    for cell in results.cells:
        folders = [cell.folder, *(files.folder for files in cell.files)]
        folders += [attempt.folder for case in cell.cases for attempt in case.earlier]
        for folder in filter(None, folders):
            if not inside.is_cell_folder(folder):
                raise UsageError(
                    f"{where} names the folder {folder!r}; a cell's folder is cells/NAME, with a plain name"
                )
        for name in cell.evidence.values():
            if not inside.evidence(cell.folder or "cells/none", name):
                raise UsageError(f"{where} names the file {name!r}; evidence is a plain name in the cell's folder")


def shard_of(text: str, where: object) -> tuple[int, int]:
    """Parse "2/3" into a shard's number and the number of shards.

    Raises:
        UsageError: the text is no shard, or the number of shards exceeds ``MOST_SHARDS``.
    """
    match = _SHARD.fullmatch(text)
    if match is None or int(match[1]) > int(match[2]):
        raise UsageError(f"{where}: {text!r} is no shard; write 1/3 for the first of three, of {MOST_SHARDS} at most")
    return int(match[1]), int(match[2])


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON (RFC 8259, section 6)")


def _finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"{text[:30]} is out of range")
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or not -(1 << 63) <= (value := int(text)) < 1 << 63:
        raise ValueError(f"{text[:30]} is out of range")
    return value

"""Reads the team's list of known failures, each with a reason and an expiry; an expired entry excuses no failure."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import UsageError
from harness.files import text_file
from harness.results.record import CaseResult, CellResult


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    case: str
    reason: str = Field(min_length=1)
    expires: date
    guest: str = "*"
    nic: str = "*"
    driver: str = "*"
    finding: str = "*"


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    known: tuple[_Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """One known failure; ``finding`` is compared with the failure's sign, such as "altered udp.dstport".

    Texts are patterns with ``*`` and ``?``; brackets are literal, because case ids have them around parameters.
    """

    case: str
    reason: str
    expires: date
    guest: str = "*"
    nic: str = "*"
    driver: str = "*"
    finding: str = "*"

    def means(self, cell: CellResult, case: CaseResult, sign: str | None) -> bool:
        """True if the entry matches this failure or, without ``sign``, this case."""
        pairs: tuple[tuple[str, str], ...]
        pairs = ((case.id, self.case), (cell.guest, self.guest), (cell.nic, self.nic), (cell.driver, self.driver))
        if sign is not None:
            pairs = (*pairs, (sign, self.finding))
        return all(fnmatchcase(has, wanted.replace("[", "[[]")) for has, wanted in pairs)


def load(path: Path | None) -> tuple[Known, ...]:
    """Read the list from ``[[known]]`` tables in a TOML file; without a file the list is empty.

    Raises:
        UsageError: the file cannot be read, or an entry is wrong or lacks case, reason or expiry.
    """
    if path is None:
        return ()
    try:
        entries = _File.model_validate(text_file.toml(text_file.read(path))).known
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: a value is nested too deeply") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UsageError(
            f"{path}: `{where}`: {problem['msg']}", mend="an entry has case, reason and expires"
        ) from error
    return tuple(Known(**entry.model_dump()) for entry in entries)

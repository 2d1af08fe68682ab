"""Opens the history file (SQLite), writes each run in one transaction, and moves a broken file aside.

Only a run writes (``opened``); questions open the file read-only (``asked``). A file that is no history is refused and
left as it is.

All SQL that changes the file stands in this module. The content is derived from ``results.json``, so a lost file can
be filled again from the runs' folders.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from harness.errors import HarnessError, LabError, UsageError
from harness.files import removal
from harness.results.record import UNLOAD, CaseResult, CellResult, Results
from harness.results.status import Status

FILE_NAME = "history.sqlite"
SCHEMA = 1
_BUSY_SECONDS = 20.0
_MAGIC = b"SQLite format 3\0"
_SCHEMA_BYTES = 1 << 16
"""Bytes read from the beginning of a file to recognize a history: its first page has the tables' definitions."""
_COMPANIONS = ("", "-journal", "-wal", "-shm")

_TABLES = """
CREATE TABLE run (
    id TEXT PRIMARY KEY, started TEXT NOT NULL, ended TEXT NOT NULL, status TEXT NOT NULL, nightly INTEGER NOT NULL,
    interrupted INTEGER NOT NULL, host TEXT NOT NULL, versions TEXT NOT NULL);
CREATE INDEX run_started ON run (started);
CREATE TABLE cell (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE, guest TEXT NOT NULL,
    nic TEXT NOT NULL, driver TEXT NOT NULL, build TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,
    fault TEXT NOT NULL, seconds REAL NOT NULL, timings TEXT NOT NULL, versions TEXT NOT NULL);
CREATE INDEX cell_run ON cell (run);
CREATE INDEX cell_name ON cell (guest, nic, driver);
CREATE TABLE outcome (
    cell INTEGER NOT NULL REFERENCES cell (id) ON DELETE CASCADE, test TEXT NOT NULL, attempt INTEGER NOT NULL,
    status TEXT NOT NULL, sign TEXT NOT NULL, reason TEXT NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (cell, test, attempt)) WITHOUT ROWID;
CREATE INDEX outcome_test ON outcome (test, cell);
"""

Say = Callable[[str], None]


def sign(case: CaseResult) -> str:
    """Return a failure's signature: verdicts and fields of its findings, or else 120 characters of its reason.

    The signature leaves out values that change from run to run, so equal failures of two runs have equal ones.
    """
    seen = dict.fromkeys(f"{finding.verdict} {finding.field}".strip() for finding in case.findings)
    return ", ".join(seen) or (case.told()[:120] if case.status in ("failed", "inconclusive") else "")


class History:
    """An open history file; ``opened`` gives one."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def add(self, results: Results, *, nightly: bool = False) -> None:
        """Write a run, and replace an earlier copy of it, so that the caller may write after every cell.

        Raises:
            LabError: the file cannot be written (full disk, rights).
        """
        run = results.run
        with self._changing("write the history"):
            self._connection.execute("DELETE FROM run WHERE id = ?", (run.id,))
            outcome = (str(results.status), nightly, run.interrupted)
            self._connection.execute(
                "INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (run.id, run.started, run.ended, *outcome, json.dumps(run.host), json.dumps(run.versions)),
            )
            for cell in results.cells:
                self._add_cell(run.id, cell, cell.versions.get("driver") or run.versions.get("drivers", ""))

    def prune(self, before: datetime) -> int:
        """Delete runs that started earlier than ``before`` (UTC); returns their number."""
        with self._changing("shorten the history"):
            return self._connection.execute("DELETE FROM run WHERE started < ?", (before.isoformat(),)).rowcount

    def rows(self, query: str, values: Iterable[object] = ()) -> list[sqlite3.Row]:
        """Run a query that reads; ``harness.history.questions`` has the queries.

        Raises:
            LabError: the file cannot be read.
        """
        try:
            return self._connection.execute(query, tuple(values)).fetchall()
        except sqlite3.Error as error:
            raise LabError(f"cannot read the history {self.path}: {error}") from error

    def check(self) -> str:
        """Run SQLite's integrity check: returns "ok" or the first problem."""
        return str(self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0])

    def _add_cell(self, run: str, cell: CellResult, build: str) -> None:
        name = (cell.guest, cell.nic, cell.driver, build)
        times = (cell.timings.get("total", 0.0), json.dumps(cell.timings))
        cursor = self._connection.execute(
            "INSERT INTO cell (run, guest, nic, driver, build, status, reason, fault, seconds, timings, versions) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (run, *name, str(cell.status), cell.reason, cell.fault, *times, json.dumps(cell.versions | cell.facts)),
        )
        rows = []
        for case in cell.cases:
            for attempt, earlier in enumerate(case.earlier, 1):
                rows.append((case.id, attempt, str(earlier.status), earlier.sign, earlier.reason, earlier.seconds))
            last = len(case.earlier) + 1
            rows.append((case.id, last, str(case.status), sign(case), case.told(), case.seconds))
        if cell.unloaded:
            rows.append((UNLOAD, 1, str(Status.PASSED), "", "", cell.timings["unload"]))
        self._connection.executemany(
            "INSERT OR REPLACE INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?)", [(cursor.lastrowid, *row) for row in rows]
        )

    @contextmanager
    def _changing(self, what: str) -> Iterator[None]:
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.Error as error:
            raise LabError(f"cannot {what} {self.path}: {error}", mend="is the disk full?") from error


@contextmanager
def opened(path: Path, say: Say, *, records: Callable[[], Iterable[Results]] = tuple) -> Iterator[History]:
    """Open the history for writing, and create it if there is none. Only runs call this.

    Args:
        path: the file.
        say: takes a line that says that the file was broken and where it was moved.
        records: returns the runs to write into the new file that replaces a broken one.

    Raises:
        UsageError: the file is no history; it stays as it is.
        LabError: the file cannot be opened.
    """
    require(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"cannot make the history's folder {path.parent}: {error.strerror}") from error
    broken = _trouble(path) if path.exists() else ""
    if broken:
        kept = _move_aside(path)
        say(f"the history {path} is broken ({broken}); it was moved to {kept}, and a new one begun")
    connection = _connect(path)
    try:
        history = History(path, connection)
        if broken:
            count = 0
            for results in records():
                history.add(results)
                count += 1
            say(f"{count} runs were read back into the history from their folders")
        yield history
    finally:
        connection.close()


@contextmanager
def tolerated(say: Say) -> Iterator[None]:
    """Report an error of the history in one line and go on, because a run's verdicts do not depend on the history."""
    try:
        yield
    except HarnessError as error:
        say(f"the run is not in the history: {error.line()}")
    except (sqlite3.Error, ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        say(f"the run is not in the history, which cannot be read: {type(error).__name__}: {error}")


@contextmanager
def asked(path: Path) -> Iterator[History]:
    """Open the history read-only, for questions; nothing on the disk changes.

    Raises:
        UsageError: the file is no history.
        LabError: the file is broken or cannot be read.
    """
    require(path)
    if broken := _trouble(path):
        raise LabError(f"the history {path} is broken ({broken})", mend="the next run moves it aside and begins anew")
    with contextlib.closing(_reading(path)) as connection:
        yield History(path, connection)


def require(path: Path) -> None:
    """Accept a path that holds a history, an empty file or nothing yet, and refuse everything else.

    Raises:
        UsageError: the path holds no plain file, another program's file, or a newer harness's history.
        LabError: the file cannot be read.
    """
    try:
        if not path.exists():
            return
        if not path.is_file():
            raise UsageError(f"{path} is no history: it is no plain file", mend="name another with --history")
        with path.open("rb") as file:
            begin = file.read(_SCHEMA_BYTES)
    except (OSError, ValueError) as error:
        raise LabError(f"cannot read the history {path}: {getattr(error, 'strerror', None) or error}") from error
    if not begin:
        return
    version = int.from_bytes(begin[60:64], "big")  # the user version: SQLite's file format, section 1.3
    if begin.startswith(_MAGIC) and version > SCHEMA:
        what = f"{path} is no history, or one of a newer harness (schema {version})"
        raise UsageError(what, mend="update this one, or name another with --history")
    if not (begin.startswith(_MAGIC) and version == SCHEMA and b"CREATE TABLE outcome" in begin):
        raise UsageError(f"{path} is no history, and is left as it is", mend="name another with --history")


def _reading(path: Path) -> sqlite3.Connection:
    """Open a read-only connection."""
    address = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro"
    try:
        connection = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise LabError(f"cannot open the history {path}: {error}") from error
    connection.row_factory = sqlite3.Row
    return connection


def _trouble(path: Path) -> str:
    """Say what is wrong with the file; the text is empty if the file is sound or has no bytes.

    Raises:
        LabError: another process locks the file, or it cannot be opened.
    """
    if path.stat().st_size == 0:
        return ""
    try:
        with contextlib.closing(_reading(path)) as connection:
            answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            if answer == "ok":
                connection.execute("SELECT count(*) FROM run").fetchone()
                return ""
            return answer
    except sqlite3.OperationalError as error:
        if any(word in str(error) for word in ("locked", "unable to open", "readonly")):
            raise LabError(f"cannot open the history {path}: {error}") from error
        return str(error)
    except sqlite3.DatabaseError as error:
        return str(error)


def _move_aside(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    target = path.with_name(f"{path.name}.broken-{stamp}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.broken-{stamp}-{number}")
    for suffix in _COMPANIONS:
        part = path.with_name(path.name + suffix)
        if part.exists():
            removal.set_aside(part, target.name + suffix)
    return target


def _connect(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise LabError(f"cannot open the history {path}: {error}") from error
    return connection

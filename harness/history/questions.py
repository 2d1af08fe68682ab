"""Queries the history: first bad run and build, flakes, slowest cases, trends, estimates of time and memory.

Each question is one or two SQL queries that only read; most answers are frozen values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from harness.history.store import History

_LAST = "o.attempt = (SELECT max(attempt) FROM outcome WHERE cell = o.cell AND test = o.test)"
_JOINED = "outcome o JOIN cell c ON c.id = o.cell JOIN run r ON r.id = c.run"


@dataclass(frozen=True, slots=True)
class FirstBad:
    """A case whose latest verdict is failed, and the run in which its failures began.

    Args:
        guest, nic, driver, test: which case.
        sign: signature of the latest failure (``store.sign``).
        run, started: the first run of the unbroken row of failures.
        build: driver build of that run.
        good_build: driver build of the last run in which the case passed; empty if it never passed.
        reason: the reason that the latest failed run gave.
        runs: how many runs failed in a row.
        missed: number of the cell's runs after the latest failure; none of them passed or failed the case.
    """

    guest: str
    nic: str
    driver: str
    test: str
    sign: str
    run: str
    started: str
    build: str
    good_build: str
    reason: str
    runs: int
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Flake:
    """How often a case's status changed on one driver build, between runs or between attempts (``changes``)."""

    guest: str
    nic: str
    test: str
    runs: int
    failed: int
    changes: int

    @property
    def rate(self) -> float:
        """Changes per run, 0 to 1."""
        return self.changes / self.runs if self.runs else 0.0


@dataclass(frozen=True, slots=True)
class Point:
    """One attempt at one case in one cell of one run."""

    test: str
    run: str
    started: str
    guest: str
    nic: str
    build: str
    status: str
    seconds: float
    reason: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Slow:
    """Mean and longest seconds of a case over the latest runs."""

    test: str
    mean: float
    longest: float
    runs: int


def trend(history: History, test: str, *, guest: str = "", nic: str = "", limit: int = 500) -> list[Point]:
    """List the latest ``limit`` attempts at all cases whose id contains ``test``, oldest first, retries included."""
    rows = history.rows(
        f"SELECT r.id run, r.started, c.guest, c.nic, c.build, o.status, o.seconds, o.reason, o.attempt, o.test "
        f"FROM {_JOINED} WHERE instr(o.test, ?) AND (? = '' OR c.guest = ?) AND (? = '' OR c.nic = ?) "
        "ORDER BY r.started DESC, o.attempt DESC LIMIT ?",
        (test, guest, guest, nic, nic, limit),
    )
    names = ("test", "run", "started", "guest", "nic", "build", "status", "seconds", "reason", "attempt")
    return [Point(*(row[name] for name in names)) for row in reversed(rows)]


def first_bad(history: History, *, test: str = "") -> list[FirstBad]:
    """List cases whose latest pass or failure is a failure, with the first run and build of the row of failures."""
    rows = history.rows(
        f"SELECT c.guest, c.nic, c.driver, o.test, o.status, o.sign, o.reason, r.id run, r.started, c.build "
        f"FROM {_JOINED} WHERE {_LAST} AND o.status IN ('passed', 'failed') AND instr(o.test, ?) "
        "AND (c.guest, c.nic, c.driver, o.test) IN (SELECT c.guest, c.nic, c.driver, o.test "
        f"FROM {_JOINED} WHERE o.status = 'failed') ORDER BY r.started, r.id",
        (test,),
    )
    open_: dict[tuple[str, str, str, str], FirstBad] = {}
    good: dict[tuple[str, str, str, str], str] = {}
    last: dict[tuple[str, str, str, str], str] = {}
    for row in rows:
        key = (row["guest"], row["nic"], row["driver"], row["test"])
        if row["status"] == "passed":
            good[key] = row["build"]
            open_.pop(key, None)
            continue
        since = open_.get(key)
        open_[key] = FirstBad(
            *key,
            sign=row["sign"],
            run=since.run if since else row["run"],
            started=since.started if since else row["started"],
            build=since.build if since else row["build"],
            good_build=good.get(key, ""),
            reason=row["reason"],
            runs=since.runs + 1 if since else 1,
        )
        last[key] = row["started"]
    times: dict[tuple[str, str, str], list[str]] = {}
    for row in history.rows("SELECT c.guest, c.nic, c.driver, r.started FROM cell c JOIN run r ON r.id = c.run"):
        times.setdefault((row["guest"], row["nic"], row["driver"]), []).append(row["started"])
    return [replace(bad, missed=sum(started > last[key] for started in times[key[:3]])) for key, bad in open_.items()]


def flakes(history: History, *, limit: int = 20, runs: int = 50) -> list[Flake]:
    """List cases whose status changed on one driver build, worst first, over the latest ``runs``."""
    rows = history.rows(
        f"SELECT c.guest, c.nic, c.build, o.test, o.status, o.attempt FROM {_JOINED} "
        "WHERE o.status != 'skipped' AND r.id IN (SELECT id FROM run ORDER BY started DESC LIMIT ?) "
        "ORDER BY c.guest, c.nic, o.test, r.started, o.attempt",
        (runs,),
    )
    found: list[Flake] = []
    key: tuple[str, ...] = ()
    before: tuple[str, str] = ("", "")
    counts = [0, 0, 0]

    def close() -> None:
        if key and counts[2]:
            found.append(Flake(key[0], key[1], key[2], *counts))

    for row in rows:
        here = (row["guest"], row["nic"], row["test"])
        if here != key:
            close()
            key, counts, before = here, [0, 0, 0], ("", "")
        counts[0] += row["attempt"] == 1
        counts[1] += row["status"] != "passed"
        counts[2] += before[0] == row["build"] and before[1] not in ("", row["status"])
        before = (row["build"], row["status"])
    close()
    return sorted(found, key=lambda flake: (-flake.rate, flake.test))[:limit]


def slowest(history: History, *, limit: int = 20, runs: int = 10) -> list[Slow]:
    """List the cases that take longest, by their mean seconds over all cells and attempts of the latest ``runs``."""
    rows = history.rows(
        f"SELECT o.test, avg(o.seconds) mean, max(o.seconds) longest, count(*) runs FROM {_JOINED} "
        "WHERE o.status != 'skipped' AND r.id IN (SELECT id FROM run ORDER BY started DESC LIMIT ?) "
        "GROUP BY o.test ORDER BY mean DESC LIMIT ?",
        (runs, limit),
    )
    return [Slow(row["test"], row["mean"], row["longest"], row["runs"]) for row in rows]


def estimates(history: History, *, runs: int = 10) -> dict[tuple[str, str], float]:
    """Estimate the seconds that a cell (guest, NIC) takes: the mean of its latest ``runs`` without a fault."""
    rows = history.rows(
        "SELECT guest, nic, avg(seconds) seconds FROM (SELECT c.guest, c.nic, c.seconds, row_number() OVER "
        "(PARTITION BY c.guest, c.nic ORDER BY r.started DESC) place FROM cell c JOIN run r ON r.id = c.run "
        "WHERE c.fault = '' AND c.seconds > 0) WHERE place <= ? GROUP BY guest, nic",
        (runs,),
    )
    return {(row["guest"], row["nic"]): row["seconds"] for row in rows}


def memory(history: History, *, runs: int = 50) -> dict[tuple[str, str], int]:
    """Return the most memory, in MiB, that QEMU took in each cell (guest, NIC) over the latest ``runs``."""
    found: dict[tuple[str, str], int] = {}
    rows = history.rows(
        "SELECT c.guest, c.nic, c.versions FROM cell c "
        "WHERE c.run IN (SELECT id FROM run ORDER BY started DESC LIMIT ?)",
        (runs,),
    )
    for row in rows:
        told = str(json.loads(row["versions"]).get("memory of QEMU", "")).split(" ")[0]
        if told.isdigit():
            key = (row["guest"], row["nic"])
            found[key] = max(found.get(key, 0), int(told))
    return found


@dataclass(frozen=True, slots=True)
class Before:
    """The latest pass or failure of a case in other nights, and the run that has it."""

    status: str
    sign: str
    run: str


def before(history: History, run: str) -> dict[tuple[str, str, str, str], Before]:
    """Return the latest verdict (passed or failed) of every case in all nights except ``run``.

    Keyed by guest, NIC, driver and test. A night in which the case was inconclusive or skipped does not count.
    """
    rows = history.rows(
        f"SELECT c.guest, c.nic, c.driver, o.test, o.status, o.sign, r.id run FROM {_JOINED} WHERE {_LAST} "
        "AND o.status IN ('passed', 'failed') AND r.nightly = 1 AND r.id != ? ORDER BY r.started, r.id",
        (run,),
    )
    return {
        (row["guest"], row["nic"], row["driver"], row["test"]): Before(row["status"], row["sign"], row["run"])
        for row in rows
    }


def timings(history: History, *, runs: int = 30) -> dict[tuple[str, str], list[tuple[str, str, dict[str, float]]]]:
    """Return run id, status and seconds by phase of each cell (guest, NIC) over the latest ``runs``, oldest first."""
    rows = history.rows(
        "SELECT c.guest, c.nic, r.id run, c.status, c.timings FROM cell c JOIN run r ON r.id = c.run "
        "WHERE r.id IN (SELECT id FROM run ORDER BY started DESC LIMIT ?) ORDER BY r.started",
        (runs,),
    )
    found: dict[tuple[str, str], list[tuple[str, str, dict[str, float]]]] = {}
    for row in rows:
        entry = (row["run"], row["status"], json.loads(row["timings"]))
        found.setdefault((row["guest"], row["nic"]), []).append(entry)
    return found

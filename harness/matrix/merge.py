"""Joins the records of shards into one run, with their evidence, as if it had been one host.

The folders may come from elsewhere: everything is checked before anything is written, and nothing is written outside of
the output's folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import UsageError, writing
from harness.files import ownership
from harness.matrix import evidence, launch
from harness.offline import agreement
from harness.results import reading
from harness.results.record import CellResult, Results, load, write
from harness.results.status import Status, worst

_MUST_MATCH = ("harness", "drivers")
_MOST_ABSENT = 20  # lines of their own for shards that are missing


def merge(folders: Sequence[Path], output: Path) -> Results:
    """Merge runs; a cell that several have is taken from the one that judged it.

    A shard that is not among them, and a run that did not come to its end, lack verdicts: each has a line of its own in
    the result, which is no pass then. Nor is a cell whose plan, capture and record do not agree.

    Raises:
        UsageError: a folder holds no run, they are of different versions, or of different numbers of shards, a cell
            has two different verdicts, evidence is a link, or the output holds something else.
        LabError: the disk is full.
    """
    runs = [(folder, load(folder)) for folder in folders]
    if not runs:
        raise UsageError("nothing to merge", mend="harness merge SHARD... -o DIR")
    _same_versions(runs)
    absent = [*_absent([results.run.shard for _, results in runs]), *_cut_short(runs)]
    taken: dict[tuple[str, str, str], tuple[Path, CellResult]] = {}
    order: list[tuple[str, str, str]] = []
    for folder, results in runs:
        for cell in results.cells:
            key = (cell.guest, cell.nic, cell.driver)
            before = taken.get(key)
            if before is None:
                order.append(key)
            elif not _empty(before[1]) and not _empty(cell) and before[1] != cell:
                where = f"{before[0]} and {folder}"
                raise UsageError(f"{cell.guest} x {cell.nic} has a verdict in both {where}")
            if before is None or _empty(before[1]):
                taken[key] = (folder, cell)
    copies = _copies(list(taken.values()), output)
    _require_own(output, folders)
    with writing(output):
        for root, place in copies:
            evidence.copy(root, place, output)
    judged = {key: _agreed(folder, cell) for key, (folder, cell) in taken.items()}
    first = min((results.run for _, results in runs), key=lambda run: run.started)
    ended = [results.run.ended for _, results in runs]
    run = replace(
        first,
        shard="",
        id=f"{first.id}-merged",
        ended=max(ended) if all(ended) else "",
        interrupted=any(results.run.interrupted for _, results in runs),
        host=first.host | {"shards": ", ".join(sorted({each.run.host.get("name", "") for _, each in runs}))},
    )
    merged = Results(run, (*(judged[key] for key in order), *absent))
    write(merged, output)
    return merged


def _copies(taken: Sequence[tuple[Path, CellResult]], output: Path) -> list[tuple[Path, str]]:
    """Which folders are copied from which run, once it is sure that all of them can be."""
    source: dict[str, Path] = {}
    free = evidence.free_bytes(output)
    for root, cell in taken:
        for place in evidence.folders(cell):
            if not (root / place).exists() and not (root / place).is_symlink():
                continue
            if source.setdefault(place, root) != root:
                raise UsageError(f"{source[place]} and {root} both have {place}, of different cells")
    for place, root in source.items():
        free -= evidence.require_copyable(root, place, free)
    return [(root, place) for place, root in source.items()]


def _require_own(output: Path, runs: Sequence[Path]) -> None:
    """Hold the output: none of the runs, and a new or empty folder, or one that a merge or a run wrote."""
    place = Path(os.path.realpath(output))  # unlike Path.resolve, it takes a link that leads to itself
    if any(run.resolve() in (place, *place.parents) for run in runs):
        what = f"{output} is, or lies in, one of the runs that are merged"
        raise UsageError(what, mend="name another folder with -o")
    ownership.claim(output, ours=launch.holds_run)


def _agreed(folder: Path, cell: CellResult) -> CellResult:
    """The cell, which is no pass where its files and its record do not agree."""
    found = evidence.doubts(folder, cell)
    if found:
        status = worst((cell.status, Status.INCONCLUSIVE))
        reason = "; ".join([*filter(None, [cell.reason]), *found])
        return replace(cell, status=status, reason=reason, fault=cell.fault or "lab")
    if cell.cases and not cell.files:
        return replace(cell, facts={**cell.facts, "evidence": agreement.UNPROVEN})
    return cell


def _absent(shards: Sequence[str]) -> list[CellResult]:
    """A result without a verdict for each shard that is missing."""
    given = [reading.shard_of(shard, "a run's record") for shard in shards if shard]
    counts = {count for _, count in given}
    if len(counts) > 1:
        raise UsageError(f"the runs are shards of different wholes: {', '.join(filter(None, shards))}")
    lines = []
    for count in counts:
        missing = sorted(set(range(1, count + 1)) - {index for index, _ in given})
        lines += [_without_verdict(f"{index}/{count}", "its record was not given to the merge") for index in missing]
    if len(lines) > _MOST_ABSENT:
        more = _without_verdict(
            "more", f"the records of {len(lines) - _MOST_ABSENT} more shards were not given, either"
        )
        return [*lines[:_MOST_ABSENT], more]
    return lines


def _cut_short(runs: Sequence[tuple[Path, Results]]) -> list[CellResult]:
    return [
        _without_verdict(results.run.shard or folder.name, "the run did not come to its end, and cells may be missing")
        for folder, results in runs
        if not results.run.ended
    ]


def _without_verdict(shard: str, reason: str) -> CellResult:
    return CellResult("shard", shard, Status.INCONCLUSIVE, reason, fault="lab")


def _empty(cell: CellResult) -> bool:
    return cell.status is Status.SKIPPED and not cell.cases


def _same_versions(runs: Sequence[tuple[Path, Results]]) -> None:
    for name in _MUST_MATCH:
        seen = {results.run.versions.get(name, ""): folder for folder, results in runs}
        if len(seen) > 1:
            told = ", ".join(f"{version or 'none'} in {folder}" for version, folder in seen.items())
            raise UsageError(f"the runs have different versions of {name}: {told}", mend="run all shards from one tree")

"""Joins the records of shards into one run, with their evidence, as if it had been one host."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import UsageError
from harness.report.results import CellResult, Results, load, write
from harness.report.status import Status

_MUST_MATCH = ("harness", "drivers")


def merge(folders: Sequence[Path], output: Path) -> Results:
    """Merge runs; a cell that several have is taken from the one that judged it.

    A shard that is not among them, and a run that did not come to its end, lack verdicts: each has a line of its own in
    the result, which is no pass then.

    Raises:
        UsageError: a folder holds no run, they are of different versions, or of different numbers of shards, or a cell
            has two different verdicts.
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
    output.mkdir(parents=True, exist_ok=True)
    for folder, cell in taken.values():
        if cell.folder and (folder / cell.folder).is_dir():
            shutil.copytree(folder / cell.folder, output / cell.folder, dirs_exist_ok=True)
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
    merged = Results(run, (*(taken[key][1] for key in order), *absent))
    write(merged, output)
    return merged


def _absent(shards: Sequence[str]) -> list[CellResult]:
    """A result without a verdict for each shard that is missing."""
    given = [shard.partition("/") for shard in shards if shard]
    counts = {count for _, _, count in given}
    if len(counts) > 1:
        raise UsageError(f"the runs are shards of different wholes: {', '.join(filter(None, shards))}")
    missing = {str(index) for count in counts for index in range(1, int(count) + 1)} - {index for index, _, _ in given}
    return [
        _without_verdict(f"{index}/{count}", "its record was not given to the merge")
        for count in counts
        for index in sorted(missing, key=int)
    ]


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

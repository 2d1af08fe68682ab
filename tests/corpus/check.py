"""What must hold of every file of the corpus, for any two readers."""

from __future__ import annotations

from pathlib import Path

from harness.offline.verify import FileVerdict, Reader, verify
from tests.corpus.damages import Damaged
from tests.corpus.story import write_plan


def told(verdict: FileVerdict) -> tuple[object, ...]:
    """What all readers must say alike."""
    statuses = [part.verdict.status for part in verdict.parts]
    return verdict.status, verdict.reason, verdict.counts, verdict.findings, statuses


def check(item: Damaged, folder: Path, reader: Reader) -> FileVerdict:
    """Write one file of the corpus and hold its verdict against what it must be; gives the verdict."""
    path, plan = folder / item.name, write_plan(folder / "operations.jsonl")
    path.write_bytes(item.content)
    verdict = verify(path, plan, reader, item.choice)
    assert verdict.status is item.status, verdict.reason
    assert item.reason in verdict.reason
    finding = next((one for _, one in verdict.findings), None)
    if item.verdict is not None:
        assert finding is not None
        assert (finding.verdict, finding.field) == (item.verdict, item.field), finding.line()
    elif item.status == "passed":
        assert finding is None, finding.line()
    wanted = item.counts or {}
    assert {key: getattr(verdict.counts, key) for key in wanted} == wanted
    return verdict

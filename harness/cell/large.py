"""The verdict of a case with more frames than a session holds: from the record, as ``harness verify`` makes it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from harness.capture.batches import Batch
from harness.capture.files import CaptureFile
from harness.capture.frames import CapturedFrame, Integrity, Recorded
from harness.model.site import Site
from harness.offline.judged import ask_tshark, judged, troubles
from harness.offline.segments import Choice, Splitter
from harness.trace.trace_lines import Header, Plan
from harness.verify.verdict import CaseVerdict
from harness.wsk.operations import Step
from harness.wsk.types import Address


def judge_large(
    recorded: Recorded,
    case: str,
    steps: Sequence[Step],
    integrity: Integrity,
    site: Site,
    asked: Collection[Address] = (),
) -> tuple[CaseVerdict, Sequence[CapturedFrame]]:
    """Read a case's stretch from a record that may still grow, and hold it against the model.

    Args:
        recorded: where the case is found in the record.
        case: its name.
        steps: its steps with their outcomes.
        integrity: of the live capture there.
        site: the lab.
        asked: addresses that earlier cases have named.

    Returns:
        The verdict, and the frames that were looked at one by one, with tshark's dissection.
    """
    start = recorded.start
    splitter = Splitter(Plan(Header("", site.profile.name, markers=recorded.secret), tuple(steps)), site, Choice())
    stretch = splitter.stretches.get(case)
    with CaptureFile(recorded.path) as file:
        for batch in file.batches():
            if batch.first + len(batch) > start:
                splitter.feed(_directed(batch.part(max(0, start - batch.first), len(batch)), recorded.directions))
                stretch = splitter.stretches.get(case)
            if stretch is not None and stretch.ended:
                break
    if stretch is None:
        return CaseVerdict(doubts=("the case's start marker is not in the record",)), ()
    ask_tshark(recorded.path, [stretch], whole_file=False)
    ended = integrity.ended and stretch.ended
    whole = replace(integrity, ended=ended, problems=(*integrity.problems, *troubles(stretch, splitter)))
    return judged(stretch, whole, site, asked=True, named=asked), stretch.kept


def _directed(batch: Batch, directions: bytes) -> Batch:
    """Frames of a record that is not complete, with the directions that the live capture has seen."""
    known = np.frombuffer(directions[batch.first - 1 : batch.first - 1 + len(batch)], dtype=np.uint8)
    return replace(batch, direction=np.pad(known, (0, len(batch) - len(known))))

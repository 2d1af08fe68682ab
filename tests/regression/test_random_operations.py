"""Random sequences of operations on four sockets, each held against the model; a failure is shrunk and kept for replay.

Environment: ``WSK_WALK_SEED`` and ``WSK_WALK_MOVES`` choose the sequence (fixed by default), ``WSK_WALK_REPLAY`` names
a file that an earlier failure left (``random-operations.json`` beside the capture) and plays just that.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.api import Wsk
from harness.selftest.walk import Walker
from harness.wsk.walk import Move, from_json, moves, shrink, to_json

SEED = int(os.environ.get("WSK_WALK_SEED", "20260"))
MOVES = int(os.environ.get("WSK_WALK_MOVES", "400"))
REPLAY = os.environ.get("WSK_WALK_REPLAY", "")
TOGETHER = 100  # moves that are judged at once


def test_random_operations_agree_with_the_model(wsk: Wsk) -> None:
    """Whatever the sequence, the wire, the completions and the books are as the model says."""

    def reason(sequence: Sequence[Move]) -> str:
        return wsk.trial(lambda wsk, wire: Walker(wsk, wire).play(sequence))

    everything = from_json(Path(REPLAY).read_text()) if REPLAY else moves(SEED, MOVES)
    for start in range(0, len(everything), TOGETHER):
        part = everything[start : start + TOGETHER]
        failed = reason(part)
        if failed:
            shortest = shrink(part, lambda sequence: bool(reason(sequence)))
            wsk.keep("random-operations.json", to_json(shortest))
            shown = "; ".join(f"{move.verb} @{move.place} {move.number}" for move in shortest)
            raise AssertionError(f"{reason(shortest) or failed} after {len(shortest)} operations: {shown}")

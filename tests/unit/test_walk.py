"""Random sequences: the same for the same seed, kept and read back, shrunk to what matters."""

from __future__ import annotations

from collections.abc import Sequence

from harness.wsk.walk import SOCKETS, VERBS, Move, from_json, moves, shrink, to_json


def test_a_seed_decides_the_sequence() -> None:
    assert moves(7, 50) == moves(7, 50)
    assert moves(7, 50) != moves(8, 50)
    assert {move.verb for move in moves(1, 2000)} == set(VERBS)
    assert {move.place for move in moves(1, 100)} == set(range(SOCKETS))


def test_a_failure_is_shrunk_to_the_moves_that_make_it() -> None:
    sequence = moves(3, 100)
    culprits = [sequence[17], sequence[60], sequence[61]]

    def fails(candidate: Sequence[Move]) -> bool:
        at = iter(candidate)
        return all(culprit in at for culprit in culprits)  # in this order

    assert shrink(sequence, fails) == culprits


def test_shrinking_ends_when_its_tries_are_used_up() -> None:
    asked: list[int] = []

    def fails(candidate: Sequence[Move]) -> bool:
        asked.append(len(candidate))
        return True

    shrink(moves(3, 1000), fails, tries=5)
    assert len(asked) == 5


def test_a_kept_sequence_is_read_back() -> None:
    assert from_json(to_json(moves(9, 20))) == moves(9, 20)

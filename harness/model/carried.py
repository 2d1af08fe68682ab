"""Sockets that outlive a case: those of fixtures of a wider scope, which several tests use. Pure.

The model of a case that uses such a socket must know how it was opened, bound and set in earlier cases.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.datagram import Prediction
from harness.model.predict import Predictor
from harness.model.site import Site
from harness.wsk import operations as op


class Carried:
    """Steps of the sockets that are open when a case begins."""

    def __init__(self) -> None:
        self._open: dict[int, list[op.Step]] = {}

    def before(self, steps: Sequence[op.Step]) -> tuple[op.Step, ...]:
        """Earlier steps of every socket that these steps use and do not open themselves, in order."""
        if not self._open:
            return ()
        opened: set[int] = set()
        wanted: dict[int, op.Step] = {}
        for step in steps:
            number = _socket(step)
            if isinstance(step.operation, op.Open):
                opened.add(step.operation.socket)
            elif number is not None and number not in opened:
                wanted.update((each.number, each) for each in self._open.get(number, ()))
        return tuple(wanted[number] for number in sorted(wanted))

    def add(self, steps: Sequence[op.Step]) -> None:
        """A case has ended with these steps."""
        for step in steps:
            number = _socket(step)
            if isinstance(step.operation, op.Load | op.Unload):
                self._open.clear()
            elif isinstance(step.operation, op.Open):
                self._open[step.operation.socket] = [step]
            elif isinstance(step.operation, op.Close):
                self._open.pop(step.operation.socket, None)
            elif number in self._open:
                self._open[number].append(step)


def predict_after(before: Sequence[op.Step], steps: Sequence[op.Step], site: Site) -> tuple[Prediction, ...]:
    """Predictions for a case's steps, after earlier ones of sockets that it uses.

    Raises:
        UsageError: a buffer has no defined payload.
    """
    predictor = Predictor(site)
    if before:
        predictor.extend(before)
    return predictor.extend(steps)


def _socket(step: op.Step) -> int | None:
    return getattr(step.operation, "socket", None)

"""What a case may wait for, and what its driver holds more than before: pure helpers of ``case``."""

from __future__ import annotations

from dataclasses import astuple

from harness.model.datagram import Prediction
from harness.wsk.operations import Accounts


def frames_of(prediction: Prediction) -> int:
    """How many frames of the guest a prediction puts on the wire at least."""
    certain = sum(len(item.layout) for item in prediction.datagrams if not item.optional)
    burst = prediction.burst
    return certain + (burst.count * len(burst.template.layout) if burst else 0)


def since(now: Accounts | None, before: Accounts | None) -> Accounts | None:
    """What a driver holds more than before, so that a leak is told once, by the case that made it.

    A driver that was loaded again in between starts from nothing; its sums then are smaller than before.
    """
    if now is None or before is None or now.sends < before.sends:
        return now
    return Accounts(*(new - old for new, old in zip(astuple(now), astuple(before), strict=True)))


def added(sums: Accounts | None, more: Accounts) -> Accounts:
    """The sum of what several cases left in a driver."""
    if sums is None:
        return more
    return Accounts(*(one + other for one, other in zip(astuple(sums), astuple(more), strict=True)))

"""Judges one case's part of a capture file (``Stretch``): the frames matched in bulk and those kept one by one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from harness.capture.frames import Integrity
from harness.capture.tshark import one_pass
from harness.model.addresses import Cast
from harness.model.datagram import ExpectedDatagram, Prediction
from harness.model.site import Site
from harness.offline.segments import MOST_FRAMES, Splitter, Stretch
from harness.verify.judge import judge
from harness.verify.verdict import CaseVerdict
from harness.wsk.types import Address


def ask_tshark(capture: Path, stretches: Iterable[Stretch], *, whole_file: bool) -> None:
    """Add tshark's dissection to the kept frames; tshark reads the whole file, or a copy of these frames alone."""
    stretches = list(stretches)
    kept = [frame for stretch in stretches for frame in stretch.kept]
    numbers = {frame.number for frame in kept}
    known = one_pass.dissect_file(capture, numbers) if whole_file else one_pass.dissect_frames(kept)
    for stretch in stretches:
        stretch.kept = [replace(frame, dissection=known.get(frame.number)) for frame in stretch.kept]


def troubles(stretch: Stretch, splitter: Splitter) -> list[str]:
    """List the reasons to doubt the frames of a stretch, one line each."""
    doubts = [f"{count} frames could not be read: {what}" for what, count in splitter.unreadable.items()]
    if stretch.undirected or splitter.mixed:
        count = stretch.undirected
        what = f"{count} frame{'s'[: count != 1]}" if count else "some markers"
        doubts.append(f"the capture does not say of {what} who sent them, and says it of others: it was put together")
    if len(stretch.guests) > 1:
        names = ", ".join(sorted(stretch.guests))
        doubts.append(f"the guest's frames are on several interfaces ({names}): choose one with --interface")
    if stretch.dropped:
        text = f"{stretch.dropped} more frames would have to be looked at one by one than the {MOST_FRAMES} that are"
        doubts.append(text)
    return doubts


def judged(
    stretch: Stretch, integrity: Integrity, site: Site, asked: bool, named: Collection[Address] = ()
) -> CaseVerdict:
    """Judge a stretch by its predictions.

    Args:
        stretch: the part of the capture, with tshark's dissection of its kept frames if tshark was asked.
        integrity: whether the capture of this part is complete.
        site: the lab.
        asked: whether tshark was asked; then frames without a dissection are doubtful.
        named: addresses that earlier cases named; the guest may still ask for their MACs.
    """
    predictions, begun = stretch.predictions, stretch.bulk.begun
    if stretch.cooked:
        predictions = tuple(_without_mac(item) for item in predictions)
        begun = replace(begun, trackers={})
    return judge(
        predictions,
        stretch.steps,
        stretch.kept,
        integrity,
        site,
        tshark=asked,
        begun=begun,
        set_aside=stretch.set_aside,
        asked=named,
    )


def _without_mac(prediction: Prediction) -> Prediction:
    """Adapt a prediction to a cooked capture, which shows no destination MAC but the broadcast one."""

    def bare(item: ExpectedDatagram) -> ExpectedDatagram:
        mac = item.destination_mac if item.cast is Cast.BROADCAST else bytes(6)
        return replace(item, destination_mac=mac, alternatives=tuple(bare(other) for other in item.alternatives))

    burst = prediction.burst
    if burst is not None:
        burst = replace(burst, template=bare(burst.template))
    return replace(prediction, datagrams=tuple(bare(item) for item in prediction.datagrams), burst=burst)

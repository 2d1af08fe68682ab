"""The verdict on one stretch of a capture file: what bulk has matched, and the frames kept for a closer look."""

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
    """Give the kept frames tshark's dissection, from the file itself or from a copy of these frames alone."""
    stretches = list(stretches)
    kept = [frame for stretch in stretches for frame in stretch.kept]
    numbers = {frame.number for frame in kept}
    known = one_pass.dissect_file(capture, numbers) if whole_file else one_pass.dissect_frames(kept)
    for stretch in stretches:
        stretch.kept = [replace(frame, dissection=known.get(frame.number)) for frame in stretch.kept]


def troubles(stretch: Stretch, splitter: Splitter) -> list[str]:
    """What makes the frames of a stretch doubtful."""
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
    """Hold a stretch against its predictions.

    Args:
        stretch: its kept frames with tshark's dissection, where there is one.
        integrity: whether the capture can be trusted there.
        site: the lab.
        asked: tshark was asked, so frames without a dissection are doubtful.
        named: addresses that earlier cases have named: the guest may still ask for their MACs.
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
    """The prediction as a cooked capture shows it: no destination MAC but the broadcast one."""

    def bare(item: ExpectedDatagram) -> ExpectedDatagram:
        mac = item.destination_mac if item.cast is Cast.BROADCAST else bytes(6)
        return replace(item, destination_mac=mac, alternatives=tuple(bare(other) for other in item.alternatives))

    burst = prediction.burst
    if burst is not None:
        burst = replace(burst, template=bare(burst.template))
    return replace(prediction, datagrams=tuple(bare(item) for item in prediction.datagrams), burst=burst)

"""Names what a guest's stack sends of its own accord: what its profile allows, in the protocol's form, at its rate.

A port, an EtherType or a group alone names nothing: whatever could carry a byte of somebody's own is unexpected.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.verify import membership, names, resolution
from harness.verify.forms import Known, Scene
from harness.verify.seen import Other, SeenDatagram

_FORMS: tuple[Callable[[bytes, Scene], Known | None], ...] = (
    resolution.arp,
    resolution.neighbour_discovery,
    membership.igmp,
    membership.mld,
)


class Background:
    """The background of one case.

    Args:
        scene: the lab, and what the guest has a reason to look for.

    Ask for frames in capture order: each takes from its protocol's allowance. ``excess`` says of the last one that was
    refused in the right form that the allowance is used up; it is empty otherwise.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._allowances = scene.site.profile.background
        self._left: dict[Known, tuple[float, int]] = {}
        self.excess = ""

    def of_frame(self, other: Other, time_ns: int) -> str | None:
        """Protocol of a frame without UDP; ``None`` when the stack would not send it by itself."""
        known = None if other.problems else next(filter(None, (form(other.data, self._scene) for form in _FORMS)), None)
        return self._allowed(known, time_ns)

    def of_datagram(self, seen: SeenDatagram, time_ns: int) -> str | None:
        """Protocol of a UDP datagram; ``None`` when the stack would not send it by itself."""
        return self._allowed(names.form_of(seen, self._scene), time_ns)

    def _allowed(self, known: Known | None, time_ns: int) -> str | None:
        """The name of what is known, if the profile allows one more of it at that time."""
        self.excess = ""
        allowance = self._allowances.get(known.name) if known is not None else None
        if known is None or allowance is None:
            return None
        left, last = self._left.get(known, (float(allowance.at_once), time_ns))
        left = min(allowance.at_once, left + max(0, time_ns - last) / 1e9 * allowance.per_second)
        if left < 1:
            self.excess = f"{known.name} more often than the {self._scene.site.profile.name} stack sends it by itself"
            self._left[known] = left, max(last, time_ns)
            return None
        self._left[known] = left - 1, max(last, time_ns)
        return known.name

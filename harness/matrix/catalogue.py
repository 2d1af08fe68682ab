"""What a cell can be made of: the guests and NICs that are known by name, and making a guest's image ready."""

from __future__ import annotations

import difflib
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness.errors import LabError, UsageError
from harness.images.windows import NOT_TRIED

if TYPE_CHECKING:
    from harness.guests.base import Guest

DEFAULT = "default"
"""In place of a NIC's name: the NICs of the default matrix."""
DEFAULT_NICS = (
    "virtio-net",
    "virtio-net+csum=off",
    "virtio-net-transitional",
    "virtio-net-transitional+csum=off",
    "e1000",
    "e1000e",
    "rtl8139",
    "pcnet",
    "vmxnet3",
    "virtio-net+mtu=9000",
    "e1000+mtu=9000",
    "e1000e+mtu=9000",
    "vmxnet3+mtu=9000",
)

Say = Callable[[str], None]


def _wine(say: Say, *, refresh: bool = False) -> str:
    from harness.images import wine  # late: only a run and an image build need it

    return wine.build(say, refresh=refresh).key


_IMAGES: dict[str, Callable[..., str]] = {"wine": _wine}


def guest_names() -> tuple[str, ...]:
    """Guests that a run can use on this host: those that it can build, and the Windows ones that have an image."""
    from harness.images import cache

    built = (str(entry.manifest.get("guest")) for entry in cache.entries() if entry.manifest.get("kind") == "windows")
    return tuple(dict.fromkeys((*_IMAGES, *built)))


def check_guest(name: str) -> None:
    """Raise ``UsageError`` with the nearest name when there is no such guest."""
    known = guest_names()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        mend = f"did you mean {close[0]}?" if close else f"known are: {', '.join(known)}"
        raise UsageError(f"no guest {name!r}", mend=mend)


def expand_nics(names: Iterable[str]) -> tuple[str, ...]:
    """The names with "default" replaced by what it stands for, each once."""
    return tuple(dict.fromkeys(nic for name in names for nic in (DEFAULT_NICS if name == DEFAULT else (name,))))


def check_nic(name: str) -> None:
    """Raise ``UsageError`` with the nearest name when there is no such NIC or option."""
    from harness import nics

    nics.get(name)


def prepare_guest(name: str, say: Say, *, refresh: bool = False) -> str:
    """Have the guest's image in the cache, building it when it is not there, and return its key."""
    check_guest(name)
    if name in _IMAGES:
        return _IMAGES[name](say, refresh=refresh)
    from harness.guests import windows

    image = windows.find(name)
    if image is None:
        raise LabError(f"the image of {name} is gone", mend="`harness image build windows` makes one")
    if image.expired(datetime.now(UTC).strftime("%Y-%m-%d")):
        say(f"the evaluation time of {name} ended on {image.manifest['expires']}: Windows will power itself off")
    say(NOT_TRIED)
    return image.key


def guest(name: str, image: str) -> Guest:
    """The guest of that name, ready to boot the image of that key.

    Raises:
        UsageError: no such guest.
        LabError: the image is not in the cache (any more).
    """
    check_guest(name)
    if name not in _IMAGES:
        from harness.guests import windows

        found = windows.find(name)
        if found is None:
            raise LabError(f"the image of {name} is gone", mend="`harness image build windows` makes one")
        return windows.WindowsGuest(found, windows.scratch_folder(f"{name}-{uuid.uuid4().hex[:12]}"))
    from harness.guests.wine import WineGuest
    from harness.images import wine

    return WineGuest(wine.load(image))

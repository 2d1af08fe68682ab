"""What a cell can be made of: the guests and NICs that are known by name, and making a guest's image ready."""

from __future__ import annotations

import difflib
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness.errors import LabError, UsageError
from harness.guests.windows import NOT_TRIED
from harness.guests.windows.options import WindowsOptions

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
    from harness.guests.wine import wine_image  # late: only a run and an image build need it

    return wine_image.build(say, refresh=refresh).key


_IMAGES: dict[str, Callable[..., str]] = {"wine": _wine}


def guest_names() -> tuple[str, ...]:
    """Guests that a run can use on this host: those that it can build, and the Windows ones that have an image."""
    from harness.guests import cache

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


def is_windows(name: str) -> bool:
    """Whether a guest is a Windows one."""
    return name not in _IMAGES


def memory_mib(name: str) -> int:
    """Memory of a guest's machine where its image says it, in MiB; otherwise 0."""
    if name in _IMAGES:
        return 0
    from harness.guests.windows import windows_guest

    image = windows_guest.find(name)
    return int(image.manifest.get("memory_mib", 0)) if image is not None else 0


def check_windows(options: WindowsOptions, guests: Iterable[str]) -> None:
    """See that what is asked of Windows guests can be had.

    Raises:
        UsageError: no guest is a Windows one, or the driver package is not one.
    """
    if options == WindowsOptions():
        return
    if not any(is_windows(name) for name in guests):
        raise UsageError(
            "Driver Verifier, driver packages and offloads belong to Windows, and no Windows guest is asked for",
            mend="the Wine guest has the harness's own verifier, and NIC options such as e1000+csum=off",
        )
    folder = options.nic_driver
    if folder is not None and len(list(folder.glob("*.inf"))) != 1:
        raise UsageError(f"{folder} is no driver package: a folder with one .inf file is wanted")


def prepare_guest(name: str, say: Say, *, refresh: bool = False) -> str:
    """Have the guest's image in the cache, building it when it is not there, and return its key."""
    check_guest(name)
    if name in _IMAGES:
        return _IMAGES[name](say, refresh=refresh)
    from harness.cache.manifest import Depth
    from harness.guests import cache
    from harness.guests.windows import windows_guest

    image = windows_guest.find(name)
    if image is None:
        raise LabError(f"the image of {name} is gone", mend="`harness image build windows` makes one")
    if image.expired(datetime.now(UTC).strftime("%Y-%m-%d")):
        say(f"the evaluation time of {name} ended on {image.manifest['expires']}: Windows will power itself off")
    if damage := cache.damage(cache.Entry(image.folder, image.manifest), Depth.USE):
        raise LabError(
            f"the cached image {name} was damaged ({damage})",
            mend="build it anew: harness image build windows --refresh",
        )
    cache.hold(cache.Entry(image.folder, image.manifest))
    say(NOT_TRIED)
    return image.key


def guest(name: str, image: str, options: WindowsOptions | None = None, driver: str = "") -> Guest:
    """The guest of that name, ready to boot the image of that key.

    Args:
        name: which.
        image: key of its image.
        options: what a Windows guest is asked besides.
        driver: file name of the driver under test, for its Driver Verifier.

    Raises:
        UsageError: no such guest.
        LabError: the image is not in the cache (any more).
    """
    check_guest(name)
    if name not in _IMAGES:
        from harness.guests.windows import windows_guest

        found = windows_guest.find(name)
        if found is None:
            raise LabError(f"the image of {name} is gone", mend="`harness image build windows` makes one")
        options = options or WindowsOptions()
        return windows_guest.WindowsGuest(
            found,
            windows_guest.scratch_folder(f"{name}-{uuid.uuid4().hex[:12]}"),
            offloads=options.offloads,
            verified=(driver,) if options.driver_verifier else (),
            package=options.nic_driver,
        )
    from harness.guests.wine import wine_image
    from harness.guests.wine.wine_guest import WineGuest

    return WineGuest(wine_image.load(image))

"""The NIC models that can be put under test: what each is to libvirt, and what it is known to do to frames.

The catalogue is ``catalogue.toml`` beside this file; this module only reads it. A variant is named by its model and
options, "virtio-net+csum=off"; the options allowed are those that the model's entry lists.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import UsageError

_MTU, _LEAST_MTU = "mtu=", 1280
"""Any model takes "mtu=N"; IPv6 asks for 1280 at least (RFC 8200, section 5)."""

CATALOGUE = Path(__file__).parent / "catalogue.toml"


@dataclass(frozen=True, slots=True)
class Quirk:
    """Something that a person who reads a verdict must know of a NIC, and where it is known from."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Nic:
    """One NIC, options included.

    Args:
        name: full name, "virtio-net+csum=off".
        model: libvirt's model type.
        pci_id: vendor and device, "1af4:1041".
        pads_to_60: its driver pads short frames to the Ethernet minimum (as measured with Linux guests).
        partial_checksum: UDP checksums of unfragmented datagrams may be left to offload, and then show the folded
            pseudo-header sum.
        max_mtu: largest MTU that it carries, in bytes.
        carrier_seconds: time from "up" to carrier; frames sent before that fail or vanish.
        express: it is a PCI Express device.
        host, guest: libvirt's driver offload switches (attributes of <host> and <guest>), virtio only.
        quirks: what else is known.
        mtu: MTU of the link in this variant, in bytes ("e1000+mtu=9000").
    """

    name: str
    model: str
    pci_id: str
    pads_to_60: bool
    partial_checksum: bool
    max_mtu: int
    carrier_seconds: float
    express: bool
    host: dict[str, str] = field(default_factory=dict)
    guest: dict[str, str] = field(default_factory=dict)
    quirks: tuple[Quirk, ...] = ()
    mtu: int = 1500


@cache
def _catalogue() -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = tomllib.loads(CATALOGUE.read_text())
    return table


def names() -> tuple[str, ...]:
    """All models, and each with each of its options, in the catalogue's order."""
    return tuple(
        full
        for base, entry in _catalogue().items()
        for full in (base, *(f"{base}+{option}" for option in entry.get("options", {})))
    )


def get(name: str) -> Nic:
    """The NIC of that name.

    Raises:
        UsageError: no such model or option; names the nearest right one.
    """
    base, *options = name.split("+")
    entry = _catalogue().get(base)
    if entry is None:
        raise UsageError(f"no NIC model {base!r}", mend=_nearest(name, names()))
    known: dict[str, dict[str, Any]] = entry.get("options", {})
    nic = Nic(
        name=name,
        model=entry["model"],
        pci_id=entry["pci_id"],
        pads_to_60=entry["pads_to_60"],
        partial_checksum=entry["partial_checksum"],
        max_mtu=entry["max_mtu"],
        carrier_seconds=entry["carrier_seconds"],
        express=entry["express"],
        quirks=tuple(Quirk(**quirk) for quirk in entry.get("quirks", ())),
    )
    for option in options:
        if option.startswith(_MTU):
            nic = _with_mtu(nic, base, option.removeprefix(_MTU))
            continue
        if option not in known:
            right = tuple(f"{base}+{word}" for word in known)
            raise UsageError(
                f"NIC model {base} has no option {option!r}", mend=_nearest(f"{base}+{option}", right or (base,))
            )
        nic = _with(nic, known[option])
    return nic


def _with_mtu(nic: Nic, base: str, text: str) -> Nic:
    if not text.isascii() or not text.isdigit() or not _LEAST_MTU <= int(text) <= nic.max_mtu:
        raise UsageError(
            f"NIC model {base} cannot have an MTU of {text!r}", mend=f"it carries {_LEAST_MTU} to {nic.max_mtu} bytes"
        )
    return replace(nic, mtu=int(text))


def _with(nic: Nic, changes: dict[str, Any]) -> Nic:
    merged = dict(changes)
    for side, present in (("host", nic.host), ("guest", nic.guest)):
        if side in merged:
            merged[side] = present | merged[side]
    return replace(nic, **merged)


def _nearest(word: str, right: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, right, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known are: {', '.join(right)}"

"""Reads the NIC models that can be tested: libvirt's settings for each, and its known effects on frames.

The models stand in ``catalogue.toml`` beside this file. A variant's name consists of model and options, such as
"virtio-net+csum=off"; a model allows the options that its entry lists, and "mtu=N". "vfio:0000:65:00.1" is a device
of the host that is passed through to the guest.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import UsageError

_MTU, _LEAST_MTU = "mtu=", 1280
"""Any model allows the option "mtu=N"; IPv6 requires at least 1280 (RFC 8200, section 5)."""

CATALOGUE = Path(__file__).parent / "catalogue.toml"
VFIO = "vfio"
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")


@dataclass(frozen=True, slots=True)
class Quirk:
    """A peculiarity of a NIC that readers of a verdict must know, and the source of that knowledge."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Nic:
    """One NIC, options included.

    Args:
        name: full name, "virtio-net+csum=off".
        model: libvirt's model type.
        pci_id: vendor and device, "1af4:1041".
        pads_to_60: its driver pads short frames to the Ethernet minimum (measured with Linux guests).
        partial_checksum: its driver may leave UDP checksums of unfragmented datagrams to offload; such frames have the
            folded pseudo-header sum.
        zero_checksum_stays: it computes IPv4's UDP checksums, and sends a computed 0 as 0 instead of 0xffff (RFC 768).
        max_mtu: largest MTU that it supports, in bytes.
        carrier_seconds: time from "up" to carrier; frames sent before that fail or vanish.
        express: it is a PCI Express device.
        host, guest: libvirt's driver offload switches (attributes of <host> and <guest>), virtio only.
        quirks: other peculiarities.
        mtu: MTU of the link in this variant, in bytes ("e1000+mtu=9000").
        slot: "bus:slot" of it in a q35 guest; never changes.
        hot_plug: it can be plugged into a running q35 guest.
        qemu: oldest QEMU version that has it; empty if every supported version has it.
        inbox: Windows releases whose media have a driver for it.
        package: folder of virtio-win that has a driver for it; empty if none has.
        never: no current Windows has a driver for it.
        host_device: PCI address on the host of a device that is passed through.
        queues: pairs of queues, virtio only.
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
    slot: str = ""
    hot_plug: bool = False
    qemu: str = ""
    inbox: tuple[str, ...] = ()
    package: str = ""
    never: bool = False
    host_device: str = ""
    queues: int = 1
    zero_checksum_stays: bool = False


@cache
def _catalogue() -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = tomllib.loads(CATALOGUE.read_text())
    return table


def names() -> tuple[str, ...]:
    """List the models that every supported QEMU has, alone and with each one option, in the catalogue's order."""
    return tuple(
        full
        for base, entry in _catalogue().items()
        if "qemu" not in entry and base != VFIO
        for full in (base, *(f"{base}+{option}" for option in entry.get("options", {})))
    )


def get(name: str) -> Nic:
    """Return the NIC of that name.

    Raises:
        UsageError: there is no such model or option (the error names the nearest one), or the MTU is out of range.
    """
    base, *options = name.split("+")
    base, _, device = base.partition(":")
    if (base == VFIO) != bool(_PCI_ADDRESS.fullmatch(device)) or (device and base != VFIO):
        raise UsageError(f"no NIC {name!r}", mend=f"a device of the host is named as in {VFIO}:0000:65:00.1")
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
        slot=entry["slot"],
        hot_plug=entry["hot_plug"],
        qemu=entry.get("qemu", ""),
        inbox=tuple(entry["windows"]["inbox"]),
        package=entry["windows"].get("package", ""),
        never=entry["windows"].get("never", False),
        host_device=device,
        zero_checksum_stays=entry.get("zero_checksum_stays", False),
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


def obstacle(
    nic: Nic, release: str, *, qemu: str = "", packages: Collection[str] = (), seen: Mapping[str, str] | None = None
) -> str:
    """Say why a cell with this NIC cannot work on a release of Windows; empty if it can or if that is unknown.

    Args:
        nic: the NIC under test.
        release: "server-2022".
        qemu: version of the host's QEMU, "7.2.22"; empty if it is unknown.
        packages: driver packages in the image ("NetKVM").
        seen: status ("Up", "absent") of each model in an acceptance run.
    """
    base = nic.name.split("+")[0]
    if nic.qemu and qemu and _version(qemu) < _version(nic.qemu):
        return f"{base} needs QEMU {nic.qemu}, this host has {qemu}"
    status = (seen or {}).get(base)
    if status is not None:
        return "" if status == "Up" else f"{base} was {status} when this image was shown it"
    if nic.never:
        return f"no current Windows has a driver for {base}"
    if nic.package and nic.package not in packages and release not in nic.inbox:
        return f"{base} needs the driver {nic.package} of virtio-win, which this image has not"
    return ""


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _with(nic: Nic, changes: dict[str, Any]) -> Nic:
    merged = dict(changes)
    for side, present in (("host", nic.host), ("guest", nic.guest)):
        if side in merged:
            merged[side] = present | merged[side]
    return replace(nic, **merged)


def _nearest(word: str, right: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, right, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known are: {', '.join(right)}"

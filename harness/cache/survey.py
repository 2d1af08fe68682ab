"""Reads everything that the harness has cached and compares it with its manifests: ``harness doctor --cache``.

Nothing is changed. What a run uses it makes again by itself where it is damaged; what is damaged in a file too large to
be read at every use (a Windows guest's memory) is best removed by hand, with the command that is printed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.cache import document, manifest
from harness.cache.manifest import DamagedError, Depth, OlderError

_KINDS = {"drivers": "drivers", "images": "image", "states": "saved guest"}
_DOCUMENTS = ("libvirt/accelerator.json", "libvirt/capabilities.json", "tools.json")


@dataclass(frozen=True, slots=True)
class Found:
    """One cached thing: its name, where it lies, and what is wrong with it (empty when it is whole).

    ``older``: it is of a version of the harness that wrote no digests, so that nothing can be compared.
    """

    name: str
    place: Path
    damage: str
    older: bool = False


def survey(root: Path) -> Iterator[Found]:
    """Every cached thing below the harness's cache, the content of all files compared."""
    for folder, kind in _KINDS.items():
        for place in sorted((root / folder).glob("[!.]*/")):
            yield _compared(f"{kind} {place.name[:24]}", place)
    for name in _DOCUMENTS:
        if (root / name).exists():
            try:
                document.read(root / name)
                yield Found(name, root / name, "")
            except ValueError as damage:
                yield Found(name, root / name, str(damage))


def _compared(name: str, place: Path) -> Found:
    try:
        manifest.check(place, manifest.read(place), Depth.ALL)
    except OlderError as older:
        return Found(name, place, str(older), older=True)
    except DamagedError as damage:
        return Found(name, place, str(damage))
    return Found(name, place, "")

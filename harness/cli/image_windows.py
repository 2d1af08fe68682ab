"""``harness image build windows``: options checked, the build run, and what has not been tried said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import nics
from harness.errors import UsageError
from harness.guests.windows import NOT_TRIED
from harness.guests.windows import build as images

DEFAULT_SHOWN = ("e1000e",)


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, as it was given."""

    iso: Path | None
    virtio_iso: Path | None
    openssh: Path | None
    edition: str
    name: str
    key_file: Path | None
    show: tuple[str, ...]
    bios: bool
    patience: float
    memory_mib: int | None
    restart: bool


def request(options: Options) -> images.Request:
    """What the options ask for.

    Raises:
        UsageError: --iso or --name is missing, a NIC is unknown, or the key's file cannot be read.
    """
    if options.iso is None or not options.name:
        raise UsageError("`harness image build windows` needs --iso FILE and --name GUEST")
    for path in (options.virtio_iso, options.openssh):
        if path is not None and not path.is_file():
            raise UsageError(f"no such file: {path}")
    for nic in options.show:
        nics.get(nic)
    shown = options.show or (*DEFAULT_SHOWN, *(("virtio-net",) if options.virtio_iso else ()))
    return images.Request(
        name=options.name,
        iso=options.iso,
        virtio_iso=options.virtio_iso,
        openssh=options.openssh,
        edition=options.edition,
        product_key=_key(options.key_file),
        train=shown,
        patience=options.patience,
        memory_mib=options.memory_mib,
        uefi=not options.bios,
        restart=options.restart,
    )


def build(options: Options, say: Callable[[str], None]) -> Path:
    """Build the image; gives its folder."""
    wanted = request(options)
    images.look(wanted)  # wrong media are one line and nothing else
    say(NOT_TRIED)
    return images.build(wanted, say).folder


def _key(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="ascii").strip().upper()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot read the product key in {path}: {error}") from error

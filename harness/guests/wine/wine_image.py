"""The licence-free guest's image: a Debian kernel, a read-only disk with a hand-pruned Wine, keys. Built without root.

The recipe is ``images/wine``; this module is the order of the steps, and the key of everything that goes in.
"""

from __future__ import annotations

import hashlib
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import resources
from harness.cache.manifest import Depth
from harness.errors import LabError, UsageError
from harness.files import removal
from harness.guests import cache, keys
from harness.guests.wine import assembly, kernel, packages

KERNEL, INITRD, DISK, KEY = "vmlinux", "initrd", "disk.erofs", "ssh_key"
# quiet: the console stays readable; the rest spares an emulated CPU work, or makes a panic end the guest.
CMDLINE = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check random.trust_cpu=on"
_PEAK_BYTES = 3_000_000_000  # packages unpacked twice over, as measured, with a reserve
_UNWANTED = (  # never needed, and most of the bytes
    "usr/share/",
    "usr/lib/x86_64-linux-gnu/dri/",
    "usr/lib/x86_64-linux-gnu/gconv/",
    "usr/lib/firmware/",
    "var/",
)
_WANTED_MODULES = ("arch/", "crypto/", "drivers/block/", "drivers/net/", "drivers/virtio/", "fs/", "lib/", "net/")


@dataclass(frozen=True, slots=True)
class WineImage:
    """A complete image of the Wine guest.

    Args:
        kernel: for QEMU's -kernel.
        initrd: for QEMU's -initrd.
        disk: raw, read-only, may serve any number of guests at once; virtio-blk, the guest's /dev/vda.
        key: names the image; two images with one key are made of the same things.
        ssh_private_key: OpenSSH file, mode 0600, of the guest's only login, root.
        host_public_key: what the guest proves itself with, as "ssh-ed25519 BASE64".
        cmdline: for QEMU's -append.
    """

    kernel: Path
    initrd: Path
    disk: Path | None
    key: str
    ssh_private_key: Path
    host_public_key: str
    cmdline: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image is made of, before any package is looked at.

    Args:
        folder: ``images/wine``.
        netio_sys: the guest's WSK provider, built from ``drivers/netio``.
        sources: the apt sources the packages come from.
    """

    folder: Path
    netio_sys: Path
    sources: packages.Sources

    @property
    def table(self) -> dict[str, Any]:
        """The recipe's lists."""
        return tomllib.loads((self.folder / "recipe.toml").read_text())

    def inputs(self) -> str:
        """Digest of the recipe's files, the builder's own source, the provider, and the archives named."""
        files = [*sorted(self.folder.iterdir()), *sorted(Path(__file__).parent.glob("*.py")), self.netio_sys]
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()]
        return _digest([*digests, self.sources.suite, *self.sources.lines])


def host_recipe() -> Recipe:
    """The recipe as this host would build it now; builds ``netio.sys`` when it is not cached."""
    from harness.driver_build import build as drivers  # late: `harness image list` needs no compiler

    return Recipe(resources.root() / "images" / "wine", drivers.build().netio_sys, packages.host_sources())


def find(recipe: Recipe | None = None, say: Callable[[str], None] = lambda _: None) -> WineImage | None:
    """The newest cached image that this recipe made and that is whole; nothing is downloaded to find out.

    Args:
        recipe: the host's own by default.
        say: takes a line for each image that is damaged.
    """
    inputs = (recipe or host_recipe()).inputs()
    for entry in cache.entries():
        if entry.manifest.get("guest") == "wine" and entry.manifest.get("inputs") == inputs:
            if not (damage := cache.damage(entry, Depth.USE)):
                if cache.hold(entry):
                    return _image(entry)
                continue
            say(f"the cached image {entry.folder.name} was damaged ({damage}): rebuilt")
    return None


def load(key: str) -> WineImage:
    """The cached image of that key.

    Raises:
        LabError: it is not in the cache (any more), or damaged.
    """
    wrong = ""
    for entry in cache.entries():
        if entry.manifest.get("guest") == "wine" and entry.manifest.get("key") == key:
            damage = cache.damage(entry, Depth.STAMPS)
            if not damage and cache.hold(entry):
                return _image(entry)
            wrong = wrong or f"the cached image {entry.folder.name} was damaged ({damage})"
    if wrong:
        raise LabError(wrong, mend="run again: the next run builds it anew")
    raise LabError(f"the image wine-{key} is not in {cache.root()}", mend="harness image build wine")


def build(progress: Callable[[str], None], *, recipe: Recipe | None = None, refresh: bool = False) -> WineImage:
    """The image for this host, from the cache or new.

    Args:
        progress: told each step in one line.
        recipe: what to build; the host's own by default.
        refresh: build even if the cache has it, so that newer packages get in.

    Raises:
        LabError: no space, no tool, no archive, or Wine did not do its part.
        UsageError: the host is not one that the recipe knows (not amd64, no Debian sources).
    """
    recipe = recipe or host_recipe()
    if not refresh and (cached := find(recipe)):
        return cached
    _require_amd64()
    cache.require_space(_PEAK_BYTES)
    with cache.lock(progress):
        if not refresh and (cached := find(recipe, progress)):  # the build that we waited for made it
            return cached
        for line in cache.unreadable():
            progress(f"the cached image {line}: not used")
        if line := cache.outdated():
            progress(line)
        with cache.building() as folder:
            entry = _build(recipe, folder, progress)
            cache.hold(entry)
            return _image(entry)


def _build(recipe: Recipe, folder: Path, progress: Callable[[str], None]) -> cache.Entry:
    began = time.monotonic()
    inputs, table = recipe.inputs(), recipe.table
    tree, root, out, scratch = (folder / name for name in ("tree", "root", "out", "scratch"))
    for path in (tree, root, out, scratch):
        path.mkdir()
    progress(f"unpacking packages of {recipe.sources.suite} ({', '.join(table['packages'])})")
    unpacked = packages.unpack(recipe.sources, table["packages"], tree, _wanted, scratch)
    removal.remove(scratch)
    key = _digest([inputs, *unpacked])[:16]

    progress("making the Wine prefix")
    dlls = assembly.prune_wine(recipe.folder, recipe.netio_sys, table["wine"], tree)
    progress("assembling kernel, initramfs and disk")
    early = kernel.modules(tree, table["modules"]["early"])
    later = {name: ko for name, ko in kernel.modules(tree, table["modules"]["network"]).items() if name not in early}
    (out / KERNEL).write_bytes(b"")
    assembly.write_sparse(out / KERNEL, kernel.executable(next(tree.glob("boot/vmlinuz-*")).read_bytes()))
    (out / INITRD).write_bytes(assembly.initramfs(recipe.folder, tree, early))
    login, host = keys.KeyPair.generate(), keys.KeyPair.generate()
    assembly.fill_root(recipe.folder, table["wine"], tree, root, dlls)
    assembly.write_modules(root / "modules", later)
    assembly.write_accounts(root, login, host)
    assembly.make_disk(tree, root, out / DISK, key)
    keys.write_private(out / KEY, login.openssh_private)
    manifest = {
        "guest": "wine",
        "key": key,
        "inputs": inputs,
        "suite": recipe.sources.suite,
        "packages": list(unpacked),
        "host_public_key": host.public_line,
        "cmdline": CMDLINE,
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "build_seconds": round(time.monotonic() - began, 1),
    }
    entry = cache.publish(out, f"wine-{key}", manifest)
    progress(f"image wine-{key}: {entry.size / 1e6:.0f} MB, built in {manifest['build_seconds']} s")
    return entry


def _image(entry: cache.Entry) -> WineImage:
    folder, manifest = entry.folder, entry.manifest
    return WineImage(
        kernel=folder / KERNEL,
        initrd=folder / INITRD,
        disk=folder / DISK,
        key=manifest["key"],
        ssh_private_key=folder / KEY,
        host_public_key=manifest["host_public_key"],
        cmdline=manifest["cmdline"],
    )


def _wanted(path: str) -> bool:
    if path.startswith("usr/share/wine/nls/") or path == "usr/share/wine/wine.inf":
        return True
    if "/kernel/" in path and path.startswith("usr/lib/modules/"):
        return path.split("/kernel/", 1)[1].startswith(_WANTED_MODULES)
    return not path.startswith(_UNWANTED)


def _require_amd64() -> None:
    if assembly.run(["dpkg", "--print-architecture"]).strip() != "amd64":
        raise UsageError("the Wine guest is built on amd64 hosts only", mend="build it there, and copy the image cache")


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()

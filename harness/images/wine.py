"""The licence-free guest's image: a Debian kernel, a read-only disk with a hand-pruned Wine, keys. Built without root.

The recipe is ``images/wine``; this module is the order of the steps, and the key of everything that goes in.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import resources
from harness.errors import LabError, UsageError
from harness.images import cache, closure, kernel, keys, packages, prefix

KERNEL, INITRD, DISK, KEY = "vmlinux", "initrd", "disk.erofs", "ssh_key"
# quiet: the console stays readable; the rest spares an emulated CPU work, or makes a panic end the guest.
CMDLINE = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check random.trust_cpu=on"
_PEAK_BYTES = 3_000_000_000  # packages unpacked twice over, as measured, with a reserve
_SCRIPTS = {
    "init": "init",
    "winshell": "usr/bin/winshell",
    "netsh": "usr/bin/netsh",
    "udhcpc.sh": "usr/share/udhcpc.sh",
}
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
    from harness.drivers import build as drivers  # late: `harness image list` needs no compiler

    return Recipe(resources.root() / "images" / "wine", drivers.build().netio_sys, packages.host_sources())


def find(recipe: Recipe | None = None) -> WineImage | None:
    """The newest cached image that this recipe made; nothing is downloaded to find out."""
    inputs = (recipe or host_recipe()).inputs()
    for entry in cache.entries():
        if entry.manifest.get("guest") == "wine" and entry.manifest.get("inputs") == inputs:
            return _image(entry)
    return None


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
        if not refresh and (cached := find(recipe)):  # the build that we waited for made it
            return cached
        with cache.building() as folder:
            return _image(_build(recipe, folder, progress))


def _build(recipe: Recipe, folder: Path, progress: Callable[[str], None]) -> cache.Entry:
    began = time.monotonic()
    inputs, table = recipe.inputs(), recipe.table
    tree, root, out, scratch = (folder / name for name in ("tree", "root", "out", "scratch"))
    for path in (tree, root, out, scratch):
        path.mkdir()
    progress(f"unpacking packages of {recipe.sources.suite} ({', '.join(table['packages'])})")
    unpacked = packages.unpack(recipe.sources, table["packages"], tree, _wanted, scratch)
    shutil.rmtree(scratch)
    key = _digest([inputs, *unpacked])[:16]

    progress("making the Wine prefix")
    dlls = _wine(recipe, table["wine"], tree)
    progress("assembling kernel, initramfs and disk")
    early = kernel.modules(tree, table["modules"]["early"])
    later = {name: ko for name, ko in kernel.modules(tree, table["modules"]["network"]).items() if name not in early}
    (out / KERNEL).write_bytes(b"")
    _write_sparse(out / KERNEL, kernel.executable(next(tree.glob("boot/vmlinuz-*")).read_bytes()))
    (out / INITRD).write_bytes(_initramfs(recipe.folder, tree, early))
    login, host = keys.KeyPair.generate(), keys.KeyPair.generate()
    _root(recipe, table["wine"], tree, root, dlls)
    _modules_into(root / "modules", later)
    _accounts(root, login, host)
    _make_disk(tree, root, out / DISK, key)
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


def _wine(recipe: Recipe, table: dict[str, Any], tree: Path) -> list[str]:
    """Prune Wine in the tree, make the prefix; returns the PE files that the guest keeps."""
    folder = tree / prefix.WINE_DLLS
    zlib = tree / "usr/x86_64-w64-mingw32/lib/zlib1.dll"  # the package's maintainer script links it
    if zlib.is_file() and not (folder / "zlib1.dll").exists():
        shutil.copy(zlib, folder / "zlib1.dll")
    kept = closure.pe_closure(folder, [*table["programs"], *table["libraries"]])
    to_build = {*kept, *closure.pe_closure(folder, table["build_programs"])}
    for file in folder.iterdir():
        if file.name not in to_build:
            file.unlink()
    _run(["x86_64-w64-mingw32-strip", *(str(folder / name) for name in sorted(to_build) if name != "zlib1.dll")])
    _link_busybox(tree / "usr/bin")
    prefix.make(tree)
    prefix.prune(tree, kept, **table["registry"])
    system32 = tree / prefix.PREFIX / "drive_c/windows/system32"
    shutil.copy(recipe.netio_sys, system32 / "drivers/netio.sys")
    flags = ["-municode", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-Wl,--no-insert-timestamp"]
    for name in table["own_programs"]:
        source = recipe.folder / Path(name).with_suffix(".c")
        _run(["x86_64-w64-mingw32-gcc", *flags, "-o", str(system32 / name), str(source), "-lntdll"])
    (tree / prefix.PREFIX / "drive_c/harness").mkdir()
    return kept


def _root(recipe: Recipe, table: dict[str, Any], tree: Path, root: Path, dlls: Iterable[str]) -> None:
    """The guest's root file system: links of a merged /usr, busybox, Wine, dropbear, scripts."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "proc", "sys", "tmp", "run", "root", "etc/dropbear", "usr/share/wine/nls"):
        (root / name).mkdir(parents=True)
    unix = [f"usr/lib/x86_64-linux-gnu/wine/x86_64-unix/{name}" for name in table["unix"]]
    wanted = [path for path in unix if (tree / path).is_file()]
    wanted += [f"usr/lib/wine/{file.name}" for file in (tree / "usr/lib/wine").iterdir() if file.name.endswith("64")]
    wanted += ["usr/sbin/dropbear", "usr/lib/openssh/sftp-server", "usr/bin/ip", "usr/sbin/tc"]
    wanted += [f"usr/lib/x86_64-linux-gnu/{name}" for name in table["shared_objects"]]
    libraries = closure.elf_closure(tree, [tree / path for path in wanted])
    nls = tree / "usr/share/wine/nls"
    wanted += [str(file.relative_to(tree)) for pattern in table["nls"] for file in nls.glob(pattern)]
    wanted += [*map(str, libraries), *(f"{prefix.WINE_DLLS}/{name}" for name in dlls), "usr/bin/busybox"]
    for path in wanted:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tree / path, root / path)
    (root / "usr/lib64/ld-linux-x86-64.so.2").symlink_to("../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    (root / "usr/share/wine/wine.inf").touch()  # Wine looks at its age only, as the prefix is never updated
    _link_busybox(root / "usr/bin")
    for name in ("wine64", "wineserver64"):
        (root / "usr/bin" / name).symlink_to(f"../lib/wine/{name}")
    for name, target in _SCRIPTS.items():
        (root / target).unlink(missing_ok=True)
        shutil.copy(recipe.folder / name, root / target)
        (root / target).chmod(0o755)
    shutil.move(tree / prefix.PREFIX, root / prefix.PREFIX)
    for name in ("C:", "c:"):  # SFTP clients say C:/harness/x.sys
        (root / name).symlink_to(f"{prefix.PREFIX}/drive_c")


def _accounts(root: Path, login: keys.KeyPair, host: keys.KeyPair) -> None:
    (root / "etc/passwd").write_text("root:*:0:0:root:/root:/usr/bin/winshell\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/shells").write_text("/usr/bin/winshell\n")
    (root / "etc/dropbear/authorized_keys").write_text(login.public_line + "\n")
    keys.write_private(root / "etc/dropbear/host_key", host.dropbear_private)
    (root / "root/.ssh").mkdir(mode=0o700)
    (root / "root/.ssh/authorized_keys").symlink_to("/etc/dropbear/authorized_keys")


def _initramfs(folder: Path, tree: Path, early: dict[str, bytes]) -> bytes:
    files = {f"modules/{name}.ko": content for name, content in early.items()}
    files["modules/order"] = "".join(f"{name}\n" for name in early).encode()
    files["bin/busybox"] = (tree / "usr/bin/busybox").read_bytes()
    files["init"] = (folder / "initramfs-init").read_bytes()
    return kernel.initramfs(files, ["dev", "proc", "disk", "layer", "root"])


def _modules_into(folder: Path, modules: dict[str, bytes]) -> None:
    folder.mkdir()
    (folder / "order").write_text("".join(f"{name}\n" for name in modules))
    for name, content in modules.items():
        (folder / f"{name}.ko").write_bytes(content)


def _make_disk(tree: Path, root: Path, disk: Path, key: str) -> None:
    libraries = tree / "usr/lib/x86_64-linux-gnu"
    uuid = f"{key[:8]}-{key[8:12]}-{key[12:16]}-8000-000000000000"
    loader = [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries)]
    _run([*loader, str(tree / "usr/bin/mkfs.erofs"), "--all-root", "-T0", "-U", uuid, str(disk), str(root)])


def _link_busybox(folder: Path) -> None:
    busybox = folder / "busybox"
    for applet in _run([str(busybox), "--list"]).split():
        if applet != "busybox" and not (folder / applet).exists():
            (folder / applet).symlink_to("busybox")


def _write_sparse(path: Path, content: bytes) -> None:
    block = 4096
    with path.open("wb") as file:
        for start in range(0, len(content), block):
            chunk = content[start : start + block]
            if chunk.count(0) == len(chunk):
                file.seek(len(chunk), 1)
            else:
                file.write(chunk)
        file.truncate(len(content))


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
    if _run(["dpkg", "--print-architecture"]).strip() != "amd64":
        raise UsageError("the Wine guest is built on amd64 hosts only", mend="build it there, and copy the image cache")


def _run(argv: list[str]) -> str:
    try:
        run = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        package = {
            "x86_64-w64-mingw32-gcc": "gcc-mingw-w64-x86-64",
            "x86_64-w64-mingw32-strip": "binutils-mingw-w64-x86-64",
        }
        name = Path(argv[0]).name
        raise LabError(f"{name} is missing", mend=f"apt-get install {package.get(name, name)}") from error
    if run.returncode:
        raise LabError(f"{Path(argv[0]).name} failed: {(run.stderr or run.stdout).strip()[:300]}", detail=run.stderr)
    return run.stdout


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()

"""Puts the Wine guest's parts together out of an unpacked tree: pruned Wine, root file system, initramfs, disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness import children
from harness.errors import LabError
from harness.files import removal
from harness.guests import keys
from harness.guests.wine import closure, kernel, prefix

SCRIPTS = {
    "init": "init",
    "winshell": "usr/bin/winshell",
    "netsh": "usr/bin/netsh",
    "udhcpc.sh": "usr/share/udhcpc.sh",
}


def prune_wine(folder: Path, netio_sys: Path, table: dict[str, Any], tree: Path) -> list[str]:
    """Prune Wine in the tree, make the prefix; returns the PE files that the guest keeps."""
    builtins = tree / prefix.WINE_DLLS
    zlib = tree / "usr/x86_64-w64-mingw32/lib/zlib1.dll"  # the package's maintainer script links it
    if zlib.is_file() and not (builtins / "zlib1.dll").exists():
        shutil.copy(zlib, builtins / "zlib1.dll")
    kept = closure.pe_closure(builtins, [*table["programs"], *table["libraries"]])
    to_build = {*kept, *closure.pe_closure(builtins, table["build_programs"])}
    for file in builtins.iterdir():
        if file.name not in to_build:
            removal.remove(file)
    run(["x86_64-w64-mingw32-strip", *(str(builtins / name) for name in sorted(to_build) if name != "zlib1.dll")])
    _link_busybox(tree / "usr/bin")
    prefix.make(tree)
    prefix.prune(tree, kept, **table["registry"])
    system32 = tree / prefix.PREFIX / "drive_c/windows/system32"
    shutil.copy(netio_sys, system32 / "drivers/netio.sys")
    flags = ["-municode", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-Wl,--no-insert-timestamp"]
    for name in table["own_programs"]:
        source = folder / Path(name).with_suffix(".c")
        run(["x86_64-w64-mingw32-gcc", *flags, "-o", str(system32 / name), str(source), "-lntdll"])
    (tree / prefix.PREFIX / "drive_c/harness").mkdir()
    return kept


def fill_root(folder: Path, table: dict[str, Any], tree: Path, root: Path, dlls: Iterable[str]) -> None:
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
    for name, target in SCRIPTS.items():
        removal.remove(root / target)
        shutil.copy(folder / name, root / target)
        (root / target).chmod(0o755)
    removal.replace(tree / prefix.PREFIX, root / prefix.PREFIX)
    for name in ("C:", "c:"):  # SFTP clients say C:/harness/x.sys
        (root / name).symlink_to(f"{prefix.PREFIX}/drive_c")


def write_accounts(root: Path, login: keys.KeyPair, host: keys.KeyPair) -> None:
    """The guest's only account, root, its key and the SSH server's."""
    (root / "etc/passwd").write_text("root:*:0:0:root:/root:/usr/bin/winshell\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/shells").write_text("/usr/bin/winshell\n")
    (root / "etc/dropbear/authorized_keys").write_text(login.public_line + "\n")
    keys.write_private(root / "etc/dropbear/host_key", host.dropbear_private)
    (root / "root/.ssh").mkdir(mode=0o700)
    (root / "root/.ssh/authorized_keys").symlink_to("/etc/dropbear/authorized_keys")


def initramfs(folder: Path, tree: Path, early: dict[str, bytes]) -> bytes:
    """The archive that the kernel starts from: busybox, the modules that the disk needs, the first program."""
    files = {f"modules/{name}.ko": content for name, content in early.items()}
    files["modules/order"] = "".join(f"{name}\n" for name in early).encode()
    files["bin/busybox"] = (tree / "usr/bin/busybox").read_bytes()
    files["init"] = (folder / "initramfs-init").read_bytes()
    return kernel.initramfs(files, ["dev", "proc", "disk", "layer", "root"])


def write_modules(folder: Path, modules: dict[str, bytes]) -> None:
    """Write modules and the order in which init inserts them."""
    folder.mkdir()
    (folder / "order").write_text("".join(f"{name}\n" for name in modules))
    for name, content in modules.items():
        (folder / f"{name}.ko").write_bytes(content)


def make_disk(tree: Path, root: Path, disk: Path, key: str) -> None:
    """Make the read-only disk of ``root``, by the mkfs.erofs of ``tree``; the same files give the same bytes."""
    libraries = tree / "usr/lib/x86_64-linux-gnu"
    uuid = f"{key[:8]}-{key[8:12]}-{key[12:16]}-8000-000000000000"
    loader = [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries)]
    os.close(os.open(disk, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # the guest's host key is in there
    run([*loader, str(tree / "usr/bin/mkfs.erofs"), "--all-root", "-T0", "-U", uuid, str(disk), str(root)])


def _link_busybox(folder: Path) -> None:
    busybox = folder / "busybox"
    for applet in run([str(busybox), "--list"]).split():
        if applet != "busybox" and not (folder / applet).exists():
            (folder / applet).symlink_to("busybox")


def write_sparse(path: Path, content: bytes) -> None:
    """Write a file whose blocks of zeros take no space on the disk."""
    block = 4096
    with path.open("wb") as file:
        for start in range(0, len(content), block):
            chunk = content[start : start + block]
            if chunk.count(0) == len(chunk):
                file.seek(len(chunk), 1)
            else:
                file.write(chunk)
        file.truncate(len(content))


def run(argv: list[str]) -> str:
    """A tool's standard output.

    Raises:
        LabError: the tool is missing or failed.
    """
    try:
        done = children.run(argv)
    except FileNotFoundError as error:
        package = {
            "x86_64-w64-mingw32-gcc": "gcc-mingw-w64-x86-64",
            "x86_64-w64-mingw32-strip": "binutils-mingw-w64-x86-64",
        }
        name = Path(argv[0]).name
        raise LabError(f"{name} is missing", mend=f"apt-get install {package.get(name, name)}") from error
    if done.returncode:
        raise LabError(f"{Path(argv[0]).name} failed: {(done.stderr or done.stdout).strip()[:300]}", detail=done.stderr)
    return done.stdout

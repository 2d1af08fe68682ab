"""Builds the stand-in installer: media that boot by UEFI into a small Linux which behaves to the host as Setup does.

Everything comes from Debian packages, unpacked without root, and is cached: the kernel as one EFI file (UKI), the
"installed" disk as a FAT image with the same file, a WIM made by wimlib. Media differ in how they misbehave.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from harness import resources
from harness.files import ownership, removal
from harness.guests.wine import closure, kernel, packages
from tests.unit import windows_kit

HERE = Path(__file__).parent / "standin"
PACKAGES = ["linux-image-amd64", "busybox-static", "dropbear-bin", "openssh-sftp-server", "systemd-boot-efi", "mtools"]
MODULES = [
    *("ahci", "sd_mod", "sr_mod", "isofs", "vfat", "nls_cp437", "nls_iso8859-1", "nls_ascii", "nls_utf8", "e1000e"),
    *("virtio_pci", "virtio_net"),
]
PROGRAMS = ["usr/sbin/dropbear", "usr/bin/dropbearkey", "usr/lib/openssh/sftp-server"]
CMDLINE = "console=ttyS0 quiet panic=-1 random.trust_cpu=on tsc=reliable no_timer_check"
DISK_MIB = 64


def media(folder: Path, behave: str = "") -> Path:
    """Installation media whose Setup is the stand-in."""
    windows_kit.need("genisoimage", "wimlib-imagex", "mmdebstrap", "objcopy")
    tree = folder / f"media-{behave or 'good'}"
    (tree / "sources").mkdir(parents=True)
    windows_kit.wim(folder / "install.wim", [windows_kit.CORE, windows_kit.DESKTOP])
    (folder / "install.wim").rename(tree / "sources" / "install.wim")
    (tree / "efi" / "boot").mkdir(parents=True)
    disk = boot_disk()
    for name in ("disk.img", "efi.img"):
        shutil.copyfile(disk, tree / name)
    (tree / "efi" / "boot" / "bootx64.efi").write_bytes(b"MZ")  # Setup's boot files are in efi.img
    if behave:
        (tree / "behave").write_text(behave)
    out = folder / f"{tree.name}.iso"
    form = ["-udf", "-J", "-r", "-iso-level", "3", "-V", "STANDIN"]
    boot = ["-eltorito-alt-boot", "-e", "efi.img", "-no-emul-boot"]
    run = subprocess.run(
        ["genisoimage", "-quiet", *form, *boot, "-o", str(out), str(tree)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return out


def boot_disk() -> Path:
    """A FAT image with the stand-in as its boot file, from the cache or new."""
    sources = packages.host_sources()
    files = [Path(__file__), *sorted(HERE.iterdir())]
    digest = hashlib.sha256(repr((sources, [file.read_bytes() for file in files])).encode()).hexdigest()[:16]
    cached = (resources.cache() / "standin").resolve() / f"{digest}.img"  # tests share one folder by a link
    if cached.is_file():
        return cached
    ownership.claim_cache(cached.parent, resources.cache())
    with removal.scratch(".build-", beside=cached.parent) as work:
        tree, scratch = work / "tree", work / "scratch"
        tree.mkdir()
        scratch.mkdir()
        packages.unpack(sources, PACKAGES, tree, lambda path: not path.startswith(("usr/share/", "var/")), scratch)
        image = _fat(tree, _uki(tree, work), work)
        removal.replace(image, cached)
    return cached


def _uki(tree: Path, work: Path) -> Path:
    modules = kernel.modules(tree, MODULES)
    files = {f"modules/{name}.ko": content for name, content in modules.items()}
    files["modules/order"] = "".join(f"{name}\n" for name in modules).encode()
    files["bin/busybox"] = (tree / "usr/bin/busybox").read_bytes()
    libraries = closure.elf_closure(tree, [tree / path for path in PROGRAMS])
    for path in [*PROGRAMS, *map(str, libraries)]:
        files[path] = (tree / path).read_bytes()
    files["lib64/ld-linux-x86-64.so.2"] = (tree / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2").read_bytes()
    for path in ("usr/sbin/dropbear", "usr/bin/dropbearkey"):
        files[f"bin/{Path(path).name}"] = files.pop(path)
    for name, target in (("init", "init"), ("winsh", "bin/winsh"), ("udhcpc", "udhcpc")):
        files[target] = (HERE / name).read_bytes()
    parts = {
        ".cmdline": (CMDLINE.encode(), 0x30000),
        ".linux": (next(tree.glob("boot/vmlinuz-*")).read_bytes(), 0x2000000),
        ".initrd": (kernel.initramfs(files, ["dev", "proc", "sys", "tmp"]), 0x4000000),
    }
    words: list[str] = []
    for section, (content, address) in parts.items():
        file = work / section[1:]
        file.write_bytes(content)
        words += ["--add-section", f"{section}={file}", "--change-section-vma", f"{section}={address:#x}"]
    stub = tree / "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
    out = work / "bootx64.efi"
    subprocess.run(["objcopy", *words, str(stub), str(out)], check=True, capture_output=True)
    return out


def _fat(tree: Path, uki: Path, work: Path) -> Path:
    image = work / "disk.img"
    with image.open("wb") as file:
        file.truncate(DISK_MIB << 20)
    tools = work / "tools"
    tools.mkdir()
    for name in ("mformat", "mmd", "mcopy"):
        shutil.copy(tree / "usr/bin/mtools", tools / name)
    for words in (
        ["mformat", "-i", str(image), "-v", "STANDIN", "-F", "::"],
        ["mmd", "-i", str(image), "::/EFI", "::/EFI/BOOT"],
        ["mcopy", "-i", str(image), str(uki), "::/EFI/BOOT/BOOTX64.EFI"],
    ):
        subprocess.run([str(tools / words[0]), *words[1:]], check=True, capture_output=True)
    return image

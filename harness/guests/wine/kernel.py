"""What a guest's kernel needs to start: an ELF image that QEMU enters directly, modules in order, an initramfs.

The ELF image is the payload of Debian's bzImage. Starting it spares the guest the decompression of its own
kernel, which takes 2.7 s of 4.4 s when the CPU is emulated.
"""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.errors import LabError


def executable(bzimage: bytes) -> bytes:
    """The ELF kernel inside a bzImage; the bzImage itself when its compression is one that Python cannot undo.

    Source of the layout: the kernel's x86 boot protocol (setup_sects at 0x1F1, payload_offset and
    payload_length at 0x248 and 0x24C, relative to the protected-mode code).
    """
    if bzimage[0x202:0x206] != b"HdrS":
        raise LabError("the package's kernel is not an x86 bzImage")
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (bzimage[0x1F1] + 1) * 512 + offset
    payload = bzimage[start : start + length]
    if payload.startswith(b"\xfd7zXZ\x00"):
        image = lzma.LZMADecompressor().decompress(payload)
    elif payload.startswith(b"\x1f\x8b"):
        image = gzip.decompress(payload[:-4])
    else:
        return bzimage
    return image if image.startswith(b"\x7fELF") else bzimage


def modules(tree: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Kernel modules in the order in which they can be inserted, dependencies first.

    Args:
        tree: an unpacked system with one kernel under usr/lib/modules.
        names: the modules asked for; those built into the kernel are left out.

    Returns:
        Module name to its (decompressed) content.

    Raises:
        LabError: a module is neither there nor built in.
    """
    files = {_name(file.name): file for file in sorted(tree.glob("usr/lib/modules/*/kernel/**/*.ko*"))}
    builtin = {_name(line) for file in tree.glob("usr/lib/modules/*/modules.builtin") for line in _lines(file)}
    ordered: dict[str, bytes] = {}

    def add(name: str) -> None:
        key = _name(name)
        if key in ordered or key in builtin:
            return
        if key not in files:
            raise LabError(f"the package's kernel has no module {name}", mend="see images/wine/recipe.toml")
        content = files[key].read_bytes()
        if files[key].suffix == ".xz":
            content = lzma.decompress(content)
        for dependency in modinfo(content).get("depends", "").split(","):
            if dependency:
                add(dependency)
        ordered[key] = content

    for name in names:
        add(name)
    return ordered


def modinfo(module: bytes) -> dict[str, str]:
    """The NAME=VALUE strings of a module's .modinfo section (the last of several with the same name)."""
    sections, entry_size, count, names_at = struct.unpack_from("<Q10xHHH", module, 0x28)
    entries = [struct.unpack_from("<IIQQQQ", module, sections + entry_size * index) for index in range(count)]
    names = entries[names_at][4]
    for name, _, _, _, offset, size in entries:
        if module[names + name :].startswith(b".modinfo\0"):
            pairs = (text.partition("=") for text in module[offset : offset + size].decode().split("\0"))
            return {key: value for key, found, value in pairs if found}
    return {}


def initramfs(files: Mapping[str, bytes], folders: Sequence[str]) -> bytes:
    """A cpio archive (newc) of executable files and empty folders; the same input gives the same bytes."""
    archive = bytearray()
    parents = {str(parent) for name in files for parent in Path(name).parents} - {"."}
    members = [(name, 0o040755, b"") for name in sorted(parents | set(folders))]
    members += [(name, 0o100755, content) for name, content in sorted(files.items())]
    for inode, (name, mode, content) in enumerate([*members, ("TRAILER!!!", 0, b"")], start=1):
        fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        archive += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        archive += b"\0" * (-len(archive) % 4) + content
        archive += b"\0" * (-len(archive) % 4)
    return bytes(archive)


def _name(file: str) -> str:
    return Path(file).name.split(".ko")[0].replace("-", "_")


def _lines(file: Path) -> list[str]:
    return file.read_text().split()

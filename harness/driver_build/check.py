"""Checks from the file alone whether 64-bit Windows would load it as a kernel driver.

Each point says what Windows requires, whether the file has it, and the Win32 error that ``sc.exe start`` shows if not.
Sources: Microsoft's PE format and kernel-mode code signing pages; the errors are those of the NTSTATUS that the loader
returns (bad image and bad checksum: 193, import missing: 127, module missing: 2, hash or signature: 577).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pefile

ERROR_FILE_NOT_FOUND = 2
ERROR_ACCESS_DENIED = 5
ERROR_PROC_NOT_FOUND = 127
ERROR_BAD_EXE_FORMAT = 193
ERROR_INVALID_IMAGE_HASH = 577

MODULES = ("ntoskrnl.exe", "hal.dll", "netio.sys")
STATIC_ONLY = ("IoCreateDeviceSecure",)  # in wdmsec.lib; Wine alone exports it

_MACHINE_AMD64 = 0x8664
_MAGIC_PE32_PLUS = 0x20B
_SUBSYSTEM_NATIVE = 1
_RELOCS_STRIPPED = 0x0001
_DIRECTORY_SECURITY = 4
_DIRECTORY_RELOCATIONS = 5
_DIRECTORY_TLS = 9
_EXECUTE = 0x20000000
_WRITE = 0x80000000
_DYNAMIC_BASE_AND_NX = 0x0140
_PAGE = 0x1000


@dataclass(frozen=True, slots=True)
class Point:
    """One property that Windows requires of a driver's file.

    Args:
        name: the property, in one to three words.
        ok: whether the file has it.
        detail: what the file has, one line.
        win32_error: if not ok, the error of starting the driver; ``None`` if that is not known.
    """

    name: str
    ok: bool
    detail: str
    win32_error: int | None = None


def check(path: Path, *, signed: bool = False) -> tuple[Point, ...]:
    """Check every point of one file, in the order in which Windows would meet them.

    Args:
        path: the ``.sys`` file.
        signed: whether a signature is required, as Windows does (test mode accepts one by any certificate).
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return (Point("file", False, f"{path} does not exist", ERROR_FILE_NOT_FOUND),)
    except OSError as error:
        return (Point("file", False, f"{path} cannot be read: {error.strerror}", ERROR_ACCESS_DENIED),)
    try:
        image = pefile.PE(data=data)
    except pefile.PEFormatError as error:
        return (Point("file", False, f"not a PE image: {error}", ERROR_BAD_EXE_FORMAT),)
    return tuple(_points(image, data, signed))


def _points(image: Any, data: bytes, signed: bool) -> Iterator[Point]:  # noqa: ANN401 - pefile has no types
    header, optional = image.FILE_HEADER, image.OPTIONAL_HEADER
    native_size = header.Machine == _MACHINE_AMD64 and optional.Magic == _MAGIC_PE32_PLUS
    machine = f"machine {header.Machine:#06x}, magic {optional.Magic:#05x}"
    yield _point("machine", native_size, f"{machine}; x86-64 is 0x8664, 0x20b", ERROR_BAD_EXE_FORMAT)
    yield _point(
        "subsystem",
        optional.Subsystem == _SUBSYSTEM_NATIVE,
        f"subsystem {optional.Subsystem}; a driver is 1 (native)",
        ERROR_BAD_EXE_FORMAT,
    )
    yield _entry_point(image)
    yield from _imports(image)
    stripped = bool(header.Characteristics & _RELOCS_STRIPPED)
    size = _directory(image, _DIRECTORY_RELOCATIONS)[1]
    yield _point("relocations", size > 0 and not stripped, f"{size} bytes of relocations", ERROR_BAD_EXE_FORMAT)
    wanted = image.generate_checksum()
    yield _point(
        "checksum",
        optional.CheckSum == wanted,
        f"header says {optional.CheckSum:#x}, the file sums to {wanted:#x}",
        ERROR_BAD_EXE_FORMAT,
    )
    yield _point("TLS", _directory(image, _DIRECTORY_TLS)[1] == 0, "a driver has no thread-local storage", None)
    yield from _memory(image)
    yield _signature(image, data, signed)


def _point(name: str, ok: bool, detail: str, error: int | None) -> Point:
    return Point(name, ok, detail, None if ok else error)


def _directory(image: Any, index: int) -> tuple[int, int]:  # noqa: ANN401
    directories = image.OPTIONAL_HEADER.DATA_DIRECTORY
    return (directories[index].VirtualAddress, directories[index].Size) if index < len(directories) else (0, 0)


def _section_name(section: Any) -> str:  # noqa: ANN401
    return str(section.Name.rstrip(b"\0").decode("ascii", "replace"))


def _entry_point(image: Any) -> Point:  # noqa: ANN401
    entry = image.OPTIONAL_HEADER.AddressOfEntryPoint
    for section in image.sections:
        size = max(section.Misc_VirtualSize, section.SizeOfRawData)
        if entry and section.VirtualAddress <= entry < section.VirtualAddress + size:
            executable = bool(section.Characteristics & _EXECUTE)
            where = f"{entry:#x} in {_section_name(section)}"
            detail = where if executable else f"{where}, which is not executable"
            return _point("entry point", executable, detail, ERROR_BAD_EXE_FORMAT)
    return Point("entry point", False, f"{entry:#x} is in no section", ERROR_BAD_EXE_FORMAT)


def _imports(image: Any) -> Iterator[Point]:  # noqa: ANN401
    modules = getattr(image, "DIRECTORY_ENTRY_IMPORT", [])
    names = [module.dll.decode("ascii", "replace") for module in modules]
    foreign = [name for name in names if name.lower() not in MODULES]
    found = f"imports from {', '.join(foreign)}, which the kernel has not" if foreign else ", ".join(names) or "none"
    yield _point("import modules", not foreign, found, ERROR_FILE_NOT_FOUND)
    missing = sorted(
        name
        for module in modules
        for name in ((entry.name or b"").decode("ascii", "replace") for entry in module.imports)
        if name in STATIC_ONLY or name.startswith(("__wine", "wine_"))
    )
    count = sum(len(module.imports) for module in modules)
    detail = f"{', '.join(missing)}: no export of Windows' kernel" if missing else f"{count} functions"
    yield _point("import functions", not missing, detail, ERROR_PROC_NOT_FOUND)


def _memory(image: Any) -> Iterator[Point]:  # noqa: ANN401
    both = _EXECUTE | _WRITE
    unsafe = [_section_name(section) for section in image.sections if section.Characteristics & both == both]
    detail = f"{', '.join(unsafe)}: writable and executable" if unsafe else "no section is writable and executable"
    yield _point("no W+X section", not unsafe, f"{detail} (memory integrity refuses one)", ERROR_INVALID_IMAGE_HASH)
    optional = image.OPTIONAL_HEADER
    fit = optional.SectionAlignment >= _PAGE and optional.DllCharacteristics & _DYNAMIC_BASE_AND_NX == 0x0140
    detail = f"section alignment {optional.SectionAlignment:#x}, DllCharacteristics {optional.DllCharacteristics:#06x}"
    yield _point("page protection", fit, detail, ERROR_INVALID_IMAGE_HASH)


def _signature(image: Any, data: bytes, signed: bool) -> Point:  # noqa: ANN401
    offset, size = _directory(image, _DIRECTORY_SECURITY)  # this directory alone is a file offset
    if size == 0:
        return _point("signature", not signed, "not signed", ERROR_INVALID_IMAGE_HASH)
    table = data[offset : offset + size]
    if offset % 8 or len(table) < size:
        return Point("signature", False, "the certificate table is misplaced or cut off", ERROR_INVALID_IMAGE_HASH)
    ok = any(_digest(image, data, offset, algorithm) in table for algorithm in ("sha256", "sha384", "sha512", "sha1"))
    detail = "signed, and the digest is that of the file" if ok else "the file was changed after it was signed"
    return _point("signature", ok, detail, ERROR_INVALID_IMAGE_HASH)


def _digest(image: Any, data: bytes, table: int, algorithm: str) -> bytes:  # noqa: ANN401
    """Compute Authenticode's digest, which leaves out the checksum, the certificate table and its directory entry."""
    optional: int = image.OPTIONAL_HEADER.get_file_offset()
    checksum = optional + 64
    entry = image.OPTIONAL_HEADER.DATA_DIRECTORY[_DIRECTORY_SECURITY].get_file_offset()
    digest = hashlib.new(algorithm)
    digest.update(data[:checksum] + data[checksum + 4 : entry] + data[entry + 8 : table])
    return digest.digest()

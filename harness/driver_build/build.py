"""Builds the drivers and wskctl.exe from ``drivers/`` with mingw-w64; equal sources give equal bytes.

The cache holds a build under a key of all its inputs (sources, compiler, flags). ``harness.cache.manifest`` checks the
cached files; a damaged build is made again and replaced file by file, each in one step, so that a running cell never
misses one.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness import children, resources
from harness.cache import durable, manifest
from harness.cache.manifest import DamagedError, Depth
from harness.errors import LabError, UsageError
from harness.files import ownership, removal

COMPILER = "x86_64-w64-mingw32-gcc"
STRIP = "x86_64-w64-mingw32-strip"
MEND = "apt-get install gcc-mingw-w64-x86-64"

_COMPILE = (
    "-std=gnu11",
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wframe-larger-than=2048",  # a kernel stack has three pages, and no probe checks larger frames
    "-fno-stack-protector",
    "-fno-ident",
    "-mno-stack-arg-probe",
    "-ffunction-sections",
    "-fdata-sections",
    "-D_WIN32_WINNT=0x0A00",
)
_LINK = ("-nostdlib", "-nostartfiles", "-Wl,--no-insert-timestamp", "-Wl,--gc-sections")
_KERNEL_COMPILE = ("-ffreestanding", "-D_AMD64_")
_KERNEL_LINK = (
    "-shared",
    "-Wl,--subsystem,native:10.0",
    "-Wl,--entry,DriverEntry",
    "-Wl,--image-base,0x140000000",
    "-Wl,--section-alignment,0x1000",
    "-Wl,--file-alignment,0x200",
    "-Wl,--dynamicbase",
    "-Wl,--nxcompat",
    "-Wl,--high-entropy-va",
    "-Wl,--wdmdriver",
    "-Wl,--exclude-all-symbols",
    "-Wl,--disable-runtime-pseudo-reloc",
    "-Wl,--disable-auto-import",
)
_FORGIVING = ("-Wno-error", "-Werror=implicit-function-declaration")  # a returned pointer would lose its upper half
_USER_LINK = ("-Wl,--subsystem,console", "-Wl,--entry,Start")


@dataclass(frozen=True, slots=True)
class _Product:
    folder: str
    file: str
    kernel: bool
    libraries: tuple[str, ...]


_PRODUCTS = (
    _Product("wsksend", "wsksend.sys", True, ("-lntoskrnl", "-lhal", "-lnetio")),
    _Product("netio", "netio.sys", True, ("-lntoskrnl", "-lntdll")),
    _Product("verifier", "verifier.sys", True, ("-lntoskrnl", "-lntdll")),
    _Product("wskctl", "wskctl.exe", False, ("-lkernel32", "-lntdll")),
)


@dataclass(frozen=True, slots=True)
class DriverBuild:
    """The files of one build.

    Args:
        wsksend_sys: the WSK driver, stripped, unsigned.
        wsksend_debug: the same image with its symbols, for ``addr2line``.
        wskctl_exe: the relay in the guest's user mode.
        netio_sys: the WSK provider of the Wine guest.
        verifier_sys: the driver verifier of the Wine guest.
        key: SHA-256 over all inputs of the build.
    """

    wsksend_sys: Path
    wsksend_debug: Path
    wskctl_exe: Path
    netio_sys: Path
    verifier_sys: Path
    key: str

    @classmethod
    def within(cls, folder: Path, key: str) -> DriverBuild:
        """Name the files of a build in ``folder``."""
        debug = folder / "wsksend.debug.sys"
        wskctl, netio, verifier = (folder / name for name in ("wskctl.exe", "netio.sys", "verifier.sys"))
        return cls(folder / "wsksend.sys", debug, wskctl, netio, verifier, key)


def build(
    out: Path | None = None,
    *,
    sources: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> DriverBuild:
    """Build the drivers, or find them in the cache.

    Args:
        out: folder to copy the files into as well; made if missing.
        sources: the ``drivers`` folder; that of this installation by default.
        say: takes a line if cached files were damaged.

    Raises:
        LabError: the compiler is missing, or the sources do not compile.
        UsageError: ``out`` cannot be written.
    """
    sources = (sources or resources.root() / "drivers").resolve()
    key = _key(sources)
    folder = resources.cache() / "drivers" / key
    built = DriverBuild.within(folder, key)
    try:
        manifest.check(folder, manifest.read(folder), Depth.USE)
    except DamagedError as damage:
        there = folder.is_dir()
        _build_into(folder, sources)
        if there:
            say(f"the cached build of the drivers was damaged ({damage}): rebuilt")
    if out is None:
        return built
    try:
        with ownership.claimed(out, ours=lambda place: _holds_build(place, folder)):
            for path in sorted(folder.iterdir()):
                if path.name != manifest.NAME:
                    removal.write_whole(out / path.name, path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot put the drivers into {out}: {error.strerror}") from error
    return DriverBuild.within(out, key)


def _holds_build(place: Path, build: Path) -> bool:
    """True if a folder holds all files that a build has, and no others."""
    return {path.name for path in place.iterdir()} == {path.name for path in build.iterdir()} - {manifest.NAME}


def compile_kernel(file: Path, target: Path, sources: Path) -> None:
    """Compile one file of a driver that an edit may have broken on purpose: of the warnings only one is an error.

    That one is about undeclared functions.

    Args:
        file: the source file, below ``sources``.
        target: the object file.
        sources: a ``drivers`` folder.

    Raises:
        LabError: the compiler is missing, or the file does not compile.
    """
    places = [f"-ffile-prefix-map={sources}=drivers", f"-I{sources / 'include'}"]
    command = [COMPILER, *_COMPILE, *_KERNEL_COMPILE, *_kernel_headers(), *places, *_FORGIVING]
    name = str(file.relative_to(sources))
    _run([*command, "-c", "-o", str(target), name], f"{name} does not compile", sources)


def link_driver(target: Path, objects: Sequence[Path]) -> None:
    """Link the sample driver's objects into the folder of ``target``: the stripped image and the one with symbols.

    Raises:
        LabError: the objects do not link.
    """
    product = next(product for product in _PRODUCTS if product.file == "wsksend.sys")
    _link(product, target.parent, objects)


def _files(sources: Path) -> list[Path]:
    return sorted(path for path in sources.rglob("*") if path.suffix in (".c", ".h"))


@cache
def _compiler_version() -> str:
    try:
        run = children.run([COMPILER, "--version"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise LabError(f"the drivers need {COMPILER}, which does not run", mend=MEND) from error
    return run.stdout


def _key(sources: Path) -> str:
    digest = hashlib.sha256()
    digest.update(Path(__file__).read_bytes())  # flags and libraries
    digest.update(_compiler_version().encode() + b"\0")
    for path in _files(sources):
        digest.update(str(path.relative_to(sources)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _build_into(folder: Path, sources: Path) -> None:
    """Build beside ``folder`` and move the result there as a whole, so that no process sees half a build.

    If the folder exists already (damaged, or built by a quicker process), its files are replaced one by one, the
    manifest last; that is safe because every process builds the same bytes.
    """
    try:
        ownership.claim_cache(folder.parent, resources.cache())
        with removal.scratch(".build-", beside=folder.parent) as temporary:
            made = temporary / "out"
            made.mkdir()
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                objects = [_objects(product, temporary, sources, pool) for product in _PRODUCTS]
            for product, files in zip(_PRODUCTS, objects, strict=True):
                _link(product, made, files)
            manifest.write(made, {"key": folder.name})
            try:
                durable.publish(made, folder)
            except OSError:
                if not folder.is_dir():
                    raise
                durable.replace_files(made, folder, last=manifest.NAME)
    except OSError as error:
        raise LabError(f"cannot write the drivers to {folder}: {error.strerror}") from error


def _objects(product: _Product, folder: Path, sources: Path, pool: ThreadPoolExecutor) -> list[Path]:
    """Compile a product's files in the pool; returns the objects in a fixed order, or raises the first failure."""
    target = folder / product.folder
    target.mkdir()
    command = [
        COMPILER,
        *_COMPILE,
        *(_KERNEL_COMPILE if product.kernel else ()),
        *(_kernel_headers() if product.kernel else ()),
        f"-ffile-prefix-map={sources}=drivers",
        f"-I{sources / 'include'}",
    ]
    files = [path for path in _files(sources / product.folder) if path.suffix == ".c"]
    objects = [target / f"{path.stem}.o" for path in files]
    jobs = [
        pool.submit(
            _run,
            [*command, "-c", "-o", str(made), str(path.relative_to(sources))],
            f"{product.folder}/{path.name} does not compile",
            sources,
        )
        for path, made in zip(files, objects, strict=True)
    ]
    try:
        for job in jobs:
            job.result()
    except LabError:
        pool.shutdown(cancel_futures=True)
        raise
    return objects


def _link(product: _Product, out: Path, objects: Sequence[Path]) -> None:
    target = out / product.file
    debug = target.with_suffix(".debug" + target.suffix)
    flags = (*_LINK, *(_KERNEL_LINK if product.kernel else _USER_LINK))
    files = [str(path) for path in objects]
    _run([COMPILER, *flags, "-o", str(target), *files, *product.libraries], f"{product.file} does not link")
    removal.replace(target, debug)
    _run([STRIP, "-o", str(target), str(debug)], f"{product.file} cannot be stripped")


@cache
def _kernel_headers() -> tuple[str, ...]:
    run = children.run([COMPILER, "-print-sysroot"])
    roots = [Path(run.stdout.strip() or "/usr/x86_64-w64-mingw32"), Path("/usr/share/mingw-w64"), Path("/usr")]
    for root in roots:
        for include in (root / "include" / "ddk", root / "mingw" / "include" / "ddk"):
            if (include / "ntddk.h").is_file():
                return ("-isystem", str(include))
    raise LabError("mingw-w64's driver headers (ddk/ntddk.h) are missing", mend="apt-get install mingw-w64-x86-64-dev")


def _run(command: list[str], failure: str, folder: Path | None = None) -> None:
    # The environment must not change the output: SOURCE_DATE_EPOCH, LANG and the like stay out.
    environment = {"PATH": children.path(), "LC_ALL": "C", "SOURCE_DATE_EPOCH": "0"}
    try:
        run = children.run(command, environment=environment, folder=folder)
    except OSError as error:
        raise LabError(f"the drivers need {command[0]}, which does not run", mend=MEND) from error
    if run.returncode != 0:
        raise LabError(f"{failure}: {(run.stderr.strip().splitlines() or ['no message'])[0]}", detail=run.stderr)

"""Starts every child process of the harness: composes its environment, its working folder and its interpreter flags.

A verdict must not depend on the person who asks for it. So a program gets a short list of the person's variables
(where programs, caches and proxies are), a fixed language and time zone, and none of the person's settings for
Wireshark, Python, pytest, libvirt or QEMU. It runs in ``/`` unless the caller names a folder, so that nothing that
lies where the person stands is read as configuration or as a module.

No other module starts a process; a test reads the sources for that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

from harness import interpreter

File = int | IO[bytes] | None

NOWHERE = "/proc/wsk-harness/no-settings"
"""A folder that cannot exist, since nobody can make one in procfs: the home of programs that must find no settings."""

python = interpreter.command

_FIXED = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "OPENBLAS_NUM_THREADS": "1"}
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
_TOOL = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "TERM", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"),
        *_PROXIES,
        *(name.upper() for name in _PROXIES),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "APT_CONFIG", "DEBIAN_FRONTEND"),
    }
)
_SETUP = frozenset({*_TOOL, "CC", "CFLAGS", "LDFLAGS", "PKG_CONFIG", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})
_SETUP_PREFIXES = ("PIP_", "PKG_CONFIG_")

# What changes the interpreter, pytest, the C library and its loader, a shell, or one of the lab's programs.
_NOT_FOR_WORKERS = frozenset(
    {
        *("LANG", "LANGUAGE", "TZ", "TZDIR", "LOCPATH", "NLSPATH", "RES_OPTIONS", "HOSTALIASES", "LOCALDOMAIN"),
        *("ENV", "IFS", "CDPATH", "SHELLOPTS", "POSIXLY_CORRECT", "CPATH", "LIBRARY_PATH", "COMPILER_PATH"),
        *("DISPLAY", "XAUTHORITY", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME", "XDG_DATA_DIRS"),
        *("SSLKEYLOGFILE", "TAR_OPTIONS", "GZIP", "SOURCE_DATE_EPOCH"),
    }
)
_NOT_FOR_WORKERS_PREFIXES = (
    *("PYTHON", "PYTEST_", "PY_", "PYDANTIC_", "LC_", "LD_", "GLIBC_", "MALLOC_", "GCONV_", "BASH_"),
    *("WIRESHARK_", "LUA_", "LIBVIRT_", "VIR_", "QEMU_", "WINE", "GIO_", "G_", "OPENSSL_", "WAYLAND_", "DBUS_"),
    *("SDL_", "PULSE_", "GCC_", "NPY_", "OMP_", "OPENBLAS_"),
)


def tool_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a program: compiler, image builder, ``ip``, QEMU's tools.

    Args:
        more: variables that this program needs besides.
    """
    kept = {name: value for name, value in os.environ.items() if name in _TOOL}
    return {**kept, "PATH": path(), **_FIXED, **(more or {})}


def wireshark_environment() -> dict[str, str]:
    """The environment of tshark and dumpcap: without preferences, disabled protocols, plugins or profiles of anybody.

    Wireshark looks for them in ``WIRESHARK_CONFIG_DIR`` and below ``HOME`` (User's Guide, "Files and Folders").
    """
    lost = {"HOME": NOWHERE, "WIRESHARK_CONFIG_DIR": NOWHERE}
    kept = {name: value for name, value in tool_environment().items() if not name.startswith("XDG_")}
    return kept | lost


def worker_environment() -> dict[str, str]:
    """The environment of a worker, in which the person's tests run.

    It keeps the person's variables, since the tests may need them, without those that change Python, pytest or one of
    the lab's programs. ``PYTHONPATH`` becomes ``HARNESS_PYTHONPATH``.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _NOT_FOR_WORKERS and not name.startswith(_NOT_FOR_WORKERS_PREFIXES)
    }
    return {**kept, **interpreter.module_paths(), "PATH": path(), **_FIXED, "WIRESHARK_CONFIG_DIR": NOWHERE}


def setup_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of apt and pip: a program's, with the person's choice of index, certificates and compiler."""
    kept = {key: value for key, value in os.environ.items() if key in _SETUP or key.startswith(_SETUP_PREFIXES)}
    return {**kept, "PATH": path(), **_FIXED, **(more or {})}


def run(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    seconds: float | None = None,
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, its standard input closed, and give what it wrote as text.

    Args:
        argv: program and arguments; relative paths in it are relative to ``folder``.
        environment: all of its environment; ``tool_environment()`` when not given.
        folder: its working folder; ``/`` when not given.
        seconds: deadline.
        check: whether an exit code other than 0 raises.

    Raises:
        OSError: the program cannot be started.
        subprocess.TimeoutExpired: it did not end in time, and was killed.
        subprocess.CalledProcessError: with ``check``, it failed.
    """
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=tool_environment() if environment is None else environment,
        cwd=folder or "/",
        timeout=seconds,
        check=check,
    )


def feed(
    argv: Sequence[str | Path], data: bytes, *, environment: Mapping[str, str] | None = None, seconds: float
) -> subprocess.CompletedProcess[bytes]:
    """Run a program with ``data`` on its standard input, and give what it wrote as bytes; for the rest see ``run``."""
    env = tool_environment() if environment is None else environment
    return subprocess.run(argv, input=data, capture_output=True, env=env, cwd="/", timeout=seconds, check=False)


def start(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    stdin: File = subprocess.DEVNULL,
    stdout: File = None,
    stderr: File = None,
    bufsize: int = -1,
    process_group: int | None = None,
    new_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program; the first three arguments are as in ``run``, the others as in ``subprocess.Popen``.

    Raises:
        OSError: the program cannot be started.
    """
    return subprocess.Popen(
        argv,
        env=tool_environment() if environment is None else environment,
        cwd=folder or "/",
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        bufsize=bufsize,
        process_group=process_group,
        start_new_session=new_session,
    )


def start_worker(
    argv: Sequence[str],
    *,
    stdin: File = subprocess.DEVNULL,
    stdout: File = subprocess.PIPE,
    stderr: File = None,
    folder: Path | None = None,
    new_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a worker of ours, made with ``python``.

    It keeps the working folder unless one is given: the person's tests may open files by relative paths.
    """
    return subprocess.Popen(
        argv,
        env=worker_environment(),
        cwd=folder,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=new_session,
    )


def run_worker(argv: Sequence[str], folder: Path | None = None) -> int:
    """Run a worker to its end, its output where this process's own goes, and give its exit code."""
    with start_worker(argv, stdout=None, folder=folder) as worker:
        try:
            return worker.wait()
        except BaseException:
            worker.kill()
            raise


def become(other: Path, arguments: Sequence[str], more: Mapping[str, str]) -> NoReturn:
    """Replace this process by ``python -m harness ARGUMENTS`` of another interpreter, with ``more`` variables."""
    own = {**os.environ, **interpreter.module_paths(), **more}
    os.execve(other, python("harness", *arguments, interpreter=str(other)), own)


def path() -> str:
    """``PATH`` without its relative folders: a program that lies where the person stands is not meant."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if os.path.isabs(folder))


def find(name: str, *folders: str) -> str | None:
    """Absolute path of a program in ``path()``, then in more folders; ``None`` when none of them has it.

    No other module looks for programs: ``PATH`` as it stands may begin with the folder in which the person stands.
    """
    return shutil.which(name, path=os.pathsep.join(filter(None, (path(), *folders))))

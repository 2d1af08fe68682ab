"""Puts a worker process into namespaces of its own that die with the process that asked for them.

``command`` wraps an argument vector; ``enter`` is the first thing that the wrapped program calls. Network, mount
and PID namespace (and a user namespace for an ordinary user) belong to the worker alone, so nothing that it makes
can outlive it: bridges and taps go with the network namespace, mounts and temporary files with the mount namespace,
every child with the PID namespace.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness import children
from harness.errors import LabError
from harness.files import ownership

WORK = Path("/run/wsk-harness")
"""The worker's own folder inside the lab: on a tmpfs that only the worker's mount namespace has."""

# Constants of <sys/mount.h>.
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 0x2, 0x4, 0x8
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
MS_BIND = 0x1000

# PR_SET_PDEATHSIG does not fire when the parent died before it was set: whoever is then not our parent ends us here.
_GUARD = '[ "$PPID" = "$1" ] || exit 3; shift; exec "$@"'

# The PID namespace's first process inherits every orphan, and libvirt waits until the QEMUs it ends are reaped: the
# shell stays to do that. A Ctrl-C is the program's own affair, and its exit code counts all the same.
_REAPER = 'trap : INT; "$@"; exit $?'

_libc = ctypes.CDLL(None, use_errno=True)


def command(argv: Sequence[str], *, parent: int | None = None) -> list[str]:
    """Wrap ``argv`` so that it runs alone in fresh namespaces and dies with its parent.

    The parent-death signal belongs to the *thread* that starts the process: a thread which starts a worker must
    outlive it.

    Args:
        argv: program and arguments to run inside.
        parent: process that will start the command; the calling process when not given.

    Raises:
        LabError: ``setpriv`` or ``unshare`` (util-linux) is not installed.
    """
    for tool in ("setpriv", "unshare", "sh"):
        if children.find(tool) is None:
            raise LabError(f"{tool} is not installed", mend="apt-get install util-linux")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    return [
        *("setpriv", "--pdeathsig", "KILL", "sh", "-c", _GUARD, "sh", str(parent or os.getpid())),
        *("unshare", *user, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"),
        *("sh", "-c", _REAPER, "sh"),
        *argv,
    ]


def is_inside() -> bool:
    """Whether this process has been through ``enter``."""
    return WORK.is_dir() and os.path.ismount(WORK.parent) and (WORK / "entered").exists()


def enter(keep: Iterable[Path] = ()) -> Path:
    """Make the mount namespace private and give the worker a work folder that vanishes with it.

    A tmpfs covers /run, ``TMPDIR`` points into it and /sys shows the new network namespace. /tmp stays as it is, for
    output folders, caches and virtual environments may well lie there.

    Args:
        keep: files and folders that must stay reachable even when they lie under /run.

    Returns:
        ``WORK``, an empty folder on the tmpfs.

    Raises:
        LabError: a mount was refused; ``command`` was not used, or the host forbids mounts in user namespaces.
    """
    kept = [path.absolute() for path in keep if path.absolute().is_relative_to(WORK.parent) and path.exists()]
    handles = {path: os.open(path, os.O_PATH) for path in kept}
    mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    mount("tmpfs", str(WORK.parent), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=80%")
    mount("sysfs", "/sys", "sysfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    for path, handle in handles.items():
        _bind_back(path, handle)
    temporary = WORK / "tmp"
    temporary.mkdir(parents=True)
    os.environ["TMPDIR"] = str(temporary)
    tempfile.tempdir = None
    ownership.adopt_new(WORK)
    (WORK / "entered").touch()
    return WORK


def _bind_back(path: Path, handle: int) -> None:
    """Make ``path``, whose file is open as ``handle``, reachable again under the tmpfs; closes the handle."""
    source = f"/proc/self/fd/{handle}"
    try:
        if os.path.isdir(source):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        mount(source, str(path), None, MS_BIND | _MS_REC)
    finally:
        os.close(handle)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Mount a file system, or bind a file or folder.

    Raises:
        LabError: the kernel refused.
    """
    words = [word.encode() if word is not None else None for word in (source, target, kind, data)]
    if _libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise LabError(
            f"cannot mount {kind or 'over'} {target} inside the lab: {reason}",
            mend="run through harness.lab.namespace.command, on a host that allows user namespaces",
        )

"""Checks what this host can and cannot do for a run, and names the command that mends each lack.

Uses the standard library only, so that it works on a host where nothing has been set up.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from harness import children, resources
from harness.errors import EXIT_LAB, EXIT_PASSED, EXIT_USAGE, LabError
from harness.setup import debian

DISK_NEEDED_MIB = 3000  # unpacking a guest's packages takes 1.3 GB; image, drivers and captures stay below the rest
MEMORY_NEEDED_MIB = 1024


class Level(StrEnum):
    """Result of a check: the host is fine, a run will be slower or limited, or a run cannot start."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its subject, its level, what it found, and the command that mends it."""

    name: str
    level: Level
    seen: str
    mend: str = ""


def cached() -> Iterator[Check]:
    """Compare everything in the cache with its manifests; changes nothing."""
    from harness.cache.survey import survey  # imported here: only --cache needs it

    older = 0
    for found in survey(resources.cache()):
        if found.older:
            older += 1
        elif not found.damage:
            yield Check(found.name, Level.OK, "whole")
        else:
            mend = f"the next run makes it anew; or remove it: rm -r {shlex.quote(str(found.place))}"
            yield Check(found.name, Level.MISSING, f"damaged: {found.damage}", mend)
    if older:
        yield Check("older versions", Level.OK, f"{older} cached folders have no checksums to compare")


def examine() -> tuple[Check, ...]:
    """Check everything that a run needs. Starts short processes; changes nothing but this process's PATH."""
    debian.complete_path()
    checks = [_packages(), _tun(), _namespaces(), _kvm(), _memory(), _disk()]
    if os.geteuid() != 0:
        checks.insert(2, _subordinate_ids())
    return tuple(checks)


def require_lab() -> None:
    """Require that a lab can be made on this host, before anything is built for it.

    Raises:
        LabError: /dev/net/tun does not open, or an ordinary user has no ranges of ids.
    """
    for check in (_tun(), *(() if os.geteuid() == 0 else (_subordinate_ids(),))):
        if check.level is Level.MISSING:
            raise LabError(f"no lab can be made here: {check.name}: {check.seen}", mend=f"run: {check.mend}")


def main(arguments: list[str]) -> int:
    """Run ``harness doctor`` with the standard library alone; ``arguments`` are those after the command's name."""
    if {"-h", "--help"} & set(arguments):
        print(f"Usage: harness doctor [--json] [--cache]\n\n  {(report.__doc__ or '').splitlines()[0]}")
        return EXIT_PASSED
    unknown = [word for word in arguments if word not in ("--json", "--cache", "--no-install")]
    if unknown:
        print(f"harness: No such option: {unknown[0]} (`harness doctor --help` shows what there is)", file=sys.stderr)
        return EXIT_USAGE
    return report(as_json="--json" in arguments, cache="--cache" in arguments)


def report(*, as_json: bool, cache: bool = False) -> int:
    """Say what this host can and cannot do, and the command that mends it.

    Args:
        as_json: for a machine.
        cache: read everything that is cached as well.

    Returns:
        0 when a run can start, 3 when something that it needs is missing or damaged.
    """
    checks = (*examine(), *(cached() if cache else ()))
    able = all(check.level is not Level.MISSING for check in checks)
    if as_json:
        print(json.dumps({"schema": 1, "able": able, "checks": [asdict(check) for check in checks]}, indent=1))
    else:
        sys.stdout.writelines(line + "\n" for line in lines(checks))
    return EXIT_PASSED if able else EXIT_LAB


def lines(checks: Iterable[Check]) -> list[str]:
    """Render the checks as lines for a person."""
    told: list[str] = []
    for check in checks:
        told.append(f"{check.level:8} {check.name}: {check.seen}")
        if check.mend:
            told.append(f"{'':8} -> {check.mend}")
    return told


def _packages() -> Check:
    wanted = debian.missing(("drivers", "image", "lab"))
    if not wanted:
        return Check("Debian packages", Level.OK, "all there")
    names = ", ".join(f"{package.name} ({package.why})" for package in wanted)
    return Check("Debian packages", Level.MISSING, f"missing: {names}", debian.install_command(wanted))


def _tun(device: Path = Path("/dev/net/tun")) -> Check:
    if not device.exists():
        return Check(str(device), Level.MISSING, "not there", "modprobe tun")
    try:
        os.close(os.open(device, os.O_RDWR))
    except OSError as error:
        return Check(str(device), Level.MISSING, f"cannot be opened: {error.strerror}", f"sudo chmod 0666 {device}")
    return Check(str(device), Level.OK, "opens")


def _namespaces() -> Check:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    argv = ["unshare", *user, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "true"]
    code, output = _answer(argv)
    if code == 0:
        return Check("namespaces", Level.OK, "network, mount and PID namespaces can be made")
    mend = "sudo sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000" if user else ""
    return Check("namespaces", Level.MISSING, f"`{' '.join(argv)}` failed: {output}", mend)


def _subordinate_ids() -> Check:
    import pwd

    name = pwd.getpwuid(os.geteuid()).pw_name
    lacking = [file for file in ("/etc/subuid", "/etc/subgid") if not _has_range(Path(file), name)]
    if not lacking:
        return Check("subordinate ids", Level.OK, f"{name} has ranges")
    mend = f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"
    return Check("subordinate ids", Level.MISSING, f"{name} has no range in {' and '.join(lacking)}", mend)


def _has_range(file: Path, name: str) -> bool:
    try:
        owners = [line.split(":")[0] for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return False
    return name in owners or str(os.geteuid()) in owners


def _kvm(device: Path = Path("/dev/kvm")) -> Check:
    """Check only whether KVM is offered; each run finds out whether it works, and else emulates."""
    if not device.exists():
        return Check("KVM", Level.NOTE, "not offered; guests are emulated (TCG), which is slower")
    if not os.access(device, os.R_OK | os.W_OK):
        mend = "sudo usermod --append --groups kvm $USER, then log in again"
        return Check("KVM", Level.NOTE, f"{device} may not be opened; guests are emulated (TCG)", mend)
    return Check("KVM", Level.OK, "offered; a run uses it once a guest has proven that it works")


def _memory() -> Check:
    text = Path("/proc/meminfo").read_text(encoding="utf-8")
    available = next(int(line.split()[1]) // 1024 for line in text.splitlines() if line.startswith("MemAvailable:"))
    level = Level.OK if available >= MEMORY_NEEDED_MIB else Level.NOTE
    return Check("memory", level, f"{available} MiB available; two cells at once need about {MEMORY_NEEDED_MIB} MiB")


def _disk() -> Check:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free // 2**20
    seen = f"{free} MiB free for {cache}"
    if free >= DISK_NEEDED_MIB:
        return Check("disk space", Level.OK, seen)
    mend = f"free {DISK_NEEDED_MIB - free} MiB, or set XDG_CACHE_HOME to a folder that has them"
    return Check("disk space", Level.NOTE, f"{seen}; building a guest image takes {DISK_NEEDED_MIB} MiB", mend)


def _answer(argv: list[str]) -> tuple[int, str]:
    try:
        done = children.run(argv, seconds=20)
    except FileNotFoundError:
        return 127, f"{argv[0]} is not installed"
    except subprocess.TimeoutExpired:
        return 124, "no answer within 20 s"
    return done.returncode, (done.stderr.strip().splitlines() or [""])[-1]

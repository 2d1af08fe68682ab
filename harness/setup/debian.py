"""Finds missing Debian packages, by the commands and files that they contain, and installs them with apt-get."""

from __future__ import annotations

import glob
import os
import re
import shlex
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import children
from harness.setup.console import EXIT_USAGE, SetupError, run, say

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_LISTS = Path("/var/lib/apt/lists")


@dataclass(frozen=True, slots=True)
class Package:
    """One Debian package: the ``purposes`` that need it, why, and the commands and files that it contains."""

    name: str
    purposes: tuple[str, ...]
    why: str
    commands: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def present(self) -> bool:
        """True if the host has all the package's commands and files, even from another source."""
        return all(map(find_command, self.commands)) and all(map(_exists, self.files))


def packages() -> tuple[Package, ...]:
    """Read the list of packages in ``packages.toml``."""
    import tomllib  # imported here: it costs time, and most commands need no package

    with (Path(__file__).parent / "packages.toml").open("rb") as file:
        table = tomllib.load(file)
    return tuple(
        Package(name, tuple(row["for"]), row["why"], tuple(row.get("commands", ())), tuple(row.get("files", ())))
        for name, row in table.items()
    )


def missing(purposes: Iterable[str]) -> tuple[Package, ...]:
    """List packages that one of the purposes needs and the host lacks."""
    wanted = set(purposes)
    return tuple(package for package in packages() if wanted & set(package.purposes) and not package.present())


def find_command(name: str) -> str | None:
    """Find a command in PATH or in the sbin folders, which an ordinary user's PATH lacks."""
    return children.find(name, *_SBIN)


def complete_path() -> None:
    """Append the sbin folders to PATH, for this process and its children, and remove relative folders."""
    path = (children.path() or "/usr/local/bin:/usr/bin:/bin").split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*path, *(folder for folder in _SBIN if folder not in path)])


def _exists(pattern: str) -> bool:
    paths = sysconfig.get_paths()
    return bool(glob.glob(pattern.format(include=paths["include"], stdlib=paths["stdlib"])))


def install_command(wanted: Sequence[Package]) -> str:
    """Return the command line with which a person can install the packages."""
    names = shlex.join(package.name for package in wanted)
    return f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install --no-install-recommends -y {names}"


def install(wanted: Sequence[Package]) -> None:
    """Print the packages' names and install them, without asking questions.

    Raises:
        SetupError: there is no apt-get or no right to install (exit code 2), or apt-get fails (exit code 3).
    """
    prefix = _right_to_install(wanted)
    say(f"{len(wanted)} Debian packages are missing and will be installed by apt-get, without recommended ones:")
    width = max(len(package.name) for package in wanted)
    for package in wanted:
        say(f"  {package.name:{width}}  {package.why}")
    names = [package.name for package in wanted]
    if not any(_LISTS.glob("*_Packages*")):
        _update(prefix)
    try:
        _install(prefix, names)
    except SetupError as error:
        say(f"apt-get install failed ({_apt_reason(error.detail)}); trying again with fresh package lists")
        _update(prefix)
        try:
            _install(prefix, names)
        except SetupError as again:
            text = f"apt-get could not install the packages: {_apt_reason(again.detail)}; mend it and run: "
            raise SetupError(text + install_command(wanted), detail=again.detail) from again
    still = [package for package in wanted if not package.present()]
    if still:
        names_left = ", ".join(package.name for package in still)
        raise SetupError(f"installed, but what they should bring is still missing: {names_left}")


def _right_to_install(wanted: Sequence[Package]) -> list[str]:
    if not find_command("apt-get"):
        names = ", ".join(package.name for package in wanted)
        raise SetupError(
            f"this host has no apt-get; install what these Debian packages hold: {names}", exit_code=EXIT_USAGE
        )
    if os.geteuid() == 0:
        return []
    sudo = find_command("sudo")
    if sudo and not children.run([sudo, "-n", "true"]).returncode:
        return [sudo, "-n"]
    raise SetupError(
        f"Debian packages are missing, and this user may not install any; run: {install_command(wanted)}",
        exit_code=EXIT_USAGE,
    )


def _apt_get(prefix: list[str], *arguments: str, watch: Callable[[str], str | None]) -> None:
    # `env` carries the setting through sudo, which drops the environment.
    settings = ["env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1", "LC_ALL=C.UTF-8"]
    run([*prefix, *settings, "apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *arguments], watch=watch)


def _update(prefix: list[str]) -> None:
    say("reading the package lists (apt-get update)")
    _apt_get(prefix, "update", watch=lambda line: None)


def _install(prefix: list[str], names: Sequence[str]) -> None:
    _apt_get(prefix, "install", "-y", "--no-install-recommends", *names, watch=progress())


def progress() -> Callable[[str], str | None]:
    """Return a function that turns lines of apt-get's output into progress: sizes, then each fifth of the packages."""
    total = done = told = 0

    def watch(line: str) -> str | None:
        nonlocal total, done, told
        if match := re.search(r"(\d+) newly installed", line):
            total = int(match[1])
            return f"{total} packages with those they depend on"
        if line.startswith("Need to get"):
            return line
        if total and line.startswith("Setting up "):
            done += 1
            if done * 5 // total > told:
                told = done * 5 // total
                return f"{done} of {total} packages installed"
        return None

    return watch


def _apt_reason(output: str) -> str:
    errors = [line for line in output.splitlines() if line.startswith("E: ")]
    return errors[0][3:] if errors else (output.splitlines() or ["no output"])[-1]

"""Decides what a command needs, installs what is missing, and switches to an interpreter that has everything."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.setup import debian
from harness.setup.console import EXIT_USAGE, SetupError, say
from harness.setup.environment import Environment, lacking, reenter

NO_INSTALL = "--no-install"
DEV = "--dev"  # of `harness setup`

# Purposes (``packages.toml``) of each command, besides the Python environment; commands not listed have none.
PURPOSES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("setup",): ("drivers", "image", "lab"),
    ("run",): ("drivers", "image", "lab"),
    ("test",): ("drivers", "image", "lab", "test"),
    ("image", "build"): ("image", "drivers"),
    ("image", "build", "windows"): ("windows", "lab"),
    ("driver", "build"): ("drivers",),
    ("driver", "sign"): ("drivers", "sign"),
    ("accept",): ("drivers", "lab", "windows"),
    **{(command,): ("drivers", "image", "lab") for command in ("shell", "nightly", "bisect", "defects", "worker")},
}

_TEXTS = ("-h", "--help", "--list", "--units")


def purposes(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the purposes of the command on this command line; none if it only prints a text, such as its help."""
    words = tuple(word for word in arguments if not word.startswith("-"))
    if any(word in _TEXTS for word in arguments):
        return ()
    return next((PURPOSES[words[:count]] for count in (3, 2, 1) if words[:count] in PURPOSES), ())


def ensure(arguments: list[str], package: Path) -> None:
    """Install what the command lacks, then return, or replace this process by ``.venv``'s interpreter.

    Args:
        arguments: the command line without the program.
        package: folder of the ``harness`` package; it is a checkout if a pyproject.toml lies beside the folder.

    Raises:
        SetupError: something is missing, and ``--no-install`` forbids to install it or that failed.
    """
    debian.complete_path()
    may_install = NO_INSTALL not in arguments
    command = next((word for word in arguments if not word.startswith("-")), "")
    environment = _environment(package.parent, dev=command == "test" or DEV in arguments)
    needed = purposes(arguments)
    if environment is not None and not environment.ready():
        needed = ("venv", *needed)
    wanted = debian.missing(needed)
    if (wanted or (environment and not environment.ready())) and not may_install:
        raise SetupError(f"the set-up is not complete; run: {_commands(wanted, environment)}", exit_code=EXIT_USAGE)
    if wanted:
        debian.install(wanted)
    if environment is None:
        return
    if not environment.ready():
        environment.make()
        say("done")
    reenter(environment.python, arguments)


def doctor_only(arguments: Sequence[str]) -> bool:
    """True if the command is ``doctor``, which reports what is missing and must not install it."""
    return next((word for word in arguments if not word.startswith("-")), "") == "doctor"


def _environment(checkout: Path, *, dev: bool) -> Environment | None:
    """Return the environment to enter; ``None`` if this interpreter has all requirements or this is no checkout."""
    if not (checkout / "pyproject.toml").is_file():
        return None
    environment = Environment(checkout, dev=dev)
    if environment.running_here():
        own = environment.made_by_hand() and not lacking(environment.requirements())
        return None if environment.ready() or own else environment
    return environment if lacking(environment.requirements()) else None


def _commands(wanted: Sequence[debian.Package], environment: Environment | None) -> str:
    lines = [debian.install_command(wanted)] if wanted else []
    if environment is not None and not environment.ready():
        dev = [DEV] if environment.dev else []
        lines.append(shlex.join([Path(sys.executable).name, "-m", "harness", "setup", *dev]))
    return " && ".join(lines)

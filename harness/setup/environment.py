"""The Python environment: whether this one has what the project depends on, and making ``.venv`` when not.

A ``.venv`` is trusted only with a stamp that was written after everything else and fits the project as it is now; an
interrupted set-up leaves no stamp and is made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import __version__, children
from harness.files import ownership, removal
from harness.setup.console import SetupError, run, say

STAMP = "harness-setup.json"
_LAYOUT = 1  # raise it when the way in which .venv is made changes

_LONGEST_FIRST_LINE = 127  # that Linux reads (execve(2), "Interpreter scripts")


class Environment:
    """The project's environment in a checkout.

    Args:
        checkout: folder of ``pyproject.toml``.
        dev: whether the tools of ``harness test`` are needed too.
    """

    def __init__(self, checkout: Path, *, dev: bool) -> None:
        self.checkout = checkout
        self.folder = checkout / ".venv"
        self.dev = dev

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / "bin" / "python"

    def requirements(self) -> list[str]:
        """What the project depends on, as written in ``pyproject.toml``."""
        import tomllib  # costs every command time, and a finished environment asks for nothing

        project = tomllib.loads((self.checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        wanted: list[str] = list(project["dependencies"])
        return wanted + list(project["optional-dependencies"]["dev"]) if self.dev else wanted

    def running_here(self) -> bool:
        """Whether this very interpreter is the environment's."""
        return Path(sys.prefix).resolve() == self.folder.resolve()

    def made_by_hand(self) -> bool:
        """Whether somebody else than the harness made the environment, and so is the one who keeps it up to date."""
        return self.python.exists() and not self._stamp() and not ownership.is_own(self.folder)

    def ready(self) -> bool:
        """Whether the folder holds a finished environment for the project as it is now."""
        stamp = self._stamp()
        fits = stamp.get("key") == self._key() and (bool(stamp.get("dev")) or not self.dev)
        return fits and self.python.exists()

    def _key(self) -> str:
        parts = (self.checkout / "pyproject.toml").read_bytes(), sys.version.encode(), __version__.encode()
        place = str(self.checkout).encode(), str(_LAYOUT).encode()
        return hashlib.sha256(b"\0".join((*parts, *place))).hexdigest()

    def _finished_before(self) -> bool:
        """Whether the folder was finished with this Python for an earlier state of the project."""
        return self._stamp().get("python") == sys.version and self.python.exists()

    def _stamp(self) -> dict[str, object]:
        try:
            stamp = json.loads((self.folder / STAMP).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def make(self) -> None:
        """Make the environment, or bring it up to date; does nothing when another process did so meanwhile."""
        with self._alone():
            if self.ready():
                return
            again = self._finished_before()
            dev = self.dev or bool(self._stamp().get("dev"))
            self._empty(keep=again)
            if not again:
                say(f"making {self.folder}")
                base = str(getattr(sys, "_base_executable", sys.executable))
                run([base, "-m", "venv", str(self.folder)])
            extra = "[dev]" if dev else ""
            say(f"installing the project and what it depends on in {self.folder} (pip)")
            pip = [str(self.python), "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
            # A plain .pth: setuptools' own finder would import half of Python before the first line of the command.
            plain = ["--config-settings", "editable_mode=compat"]
            run([*pip, *plain, "--editable", f"{self.checkout}{extra}"], watch=_pip_progress)
            self._write_command()
            # Containers often tell Python to keep no bytecode; each worker would compile all modules anew.
            run([str(self.python), "-m", "compileall", "-q", str(self.checkout / "harness")])
            text = json.dumps({"key": self._key(), "dev": dev, "python": sys.version})
            removal.write_whole(self.folder / STAMP, text)

    def _write_command(self) -> None:
        """Put our own ``bin/harness`` in place of pip's, which imports ``re`` first, by the person's ``PYTHONPATH``.

        Python reads none of its variables with ``-I``; the command hands ``PYTHONPATH`` on to the suite by itself.
        """
        first = f"#!{self.python} -I\n"
        command = self.folder / "bin" / "harness"
        if len(first) > _LONGEST_FIRST_LINE or " " in str(self.python) or not command.exists():
            return
        removal.write_whole(command, f"{first}import sys\n\nfrom harness.__main__ import main\n\nsys.exit(main())\n")
        command.chmod(0o755)

    def _empty(self, *, keep: bool) -> None:
        """Make the folder, or take what an earlier set-up left out of it; with ``keep`` only the stamp goes.

        Raises:
            SetupError: the folder holds an environment that somebody else made.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = self.folder.resolve()
        if self._stamp() or not any(folder.iterdir()):
            ownership.mark(folder)
        if not ownership.is_own(folder):
            raise SetupError(f"{self.folder} was not made by the harness; move it away and run again")
        for path in [folder / STAMP] if keep else list(folder.iterdir()):
            if path.name != ownership.MARKER and not path.is_symlink():  # lib64 is a link to lib, and may stay
                removal.remove(path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold a lock on the checkout, so that two first runs at once do not build into each other."""
        with (self.checkout / "pyproject.toml").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _pip_progress(line: str) -> str | None:
    if line.startswith(("Building wheel", "Building editable", "Installing collected")):
        return line if len(line) < 80 else line[:77] + "..."
    return None


def lacking(requirements: list[str]) -> list[str]:
    """The requirements that this interpreter does not meet; understands ``name>=low,<high``, all that we write."""
    return [text for text in requirements if not _met(text)]


def _met(requirement: str) -> bool:
    from importlib import metadata  # as above

    match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:>=([0-9.]+))?(?:,<([0-9.]+))?", requirement)
    if match is None:
        raise SetupError(f"cannot read the requirement {requirement!r} in pyproject.toml")
    try:
        version = metadata.version(match[1])
    except metadata.PackageNotFoundError:
        return False
    return _numbers(match[2] or "0") <= _numbers(version) and not (match[3] and _numbers(match[3]) <= _numbers(version))


def _numbers(version: str) -> tuple[int, ...]:
    leading = re.match(r"[0-9.]*", version)
    return tuple(int(part) for part in (leading[0] if leading else "").split(".") if part)


def reenter(python: Path, arguments: list[str]) -> None:
    """Become ``python -m harness ARGUMENTS``; returns never.

    Raises:
        SetupError: this process is the result of such a step already; going on would not end.
    """
    if os.environ.get("HARNESS_ENTERED") == str(python):
        raise SetupError(f"{python} still lacks what the project depends on; delete its folder and run again")
    children.become(python, arguments, {"HARNESS_ENTERED": str(python)})

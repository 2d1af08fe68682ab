"""Checks whether this Python environment meets the project's requirements, and makes ``.venv`` if not.

A ``.venv`` counts as finished only if it has a stamp that fits the project as it is now. The stamp is written last, so
an interrupted set-up leaves none and is made anew.
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
_LAYOUT = 1  # raise it when `make` changes, so that every .venv is made anew

_LONGEST_FIRST_LINE = 127  # characters of a script's first line that Linux reads (execve(2), "Interpreter scripts")


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
        """Read the project's dependencies from ``pyproject.toml``; with ``dev`` those of the tools, too."""
        import tomllib  # imported here: it costs time, and a finished environment does not need it

        project = tomllib.loads((self.checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        wanted: list[str] = list(project["dependencies"])
        return wanted + list(project["optional-dependencies"]["dev"]) if self.dev else wanted

    def running_here(self) -> bool:
        """True if this process runs the environment's interpreter."""
        return Path(sys.prefix).resolve() == self.folder.resolve()

    def made_by_hand(self) -> bool:
        """True if the user made the environment, not the harness; then the user keeps it up to date."""
        return self.python.exists() and not self._stamp() and not ownership.is_own(self.folder)

    def ready(self) -> bool:
        """True if the folder holds a finished environment for the project as it is now."""
        stamp = self._stamp()
        fits = stamp.get("key") == self._key() and (bool(stamp.get("dev")) or not self.dev)
        return fits and self.python.exists()

    def _key(self) -> str:
        parts = (self.checkout / "pyproject.toml").read_bytes(), sys.version.encode(), __version__.encode()
        place = str(self.checkout).encode(), str(_LAYOUT).encode()
        return hashlib.sha256(b"\0".join((*parts, *place))).hexdigest()

    def _finished_before(self) -> bool:
        """True if the folder holds an environment that was finished with this Python, for any state of the project."""
        return self._stamp().get("python") == sys.version and self.python.exists()

    def _stamp(self) -> dict[str, object]:
        try:
            stamp = json.loads((self.folder / STAMP).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def make(self) -> None:
        """Make the environment or bring it up to date, unless another process has done so meanwhile."""
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
            # Use a plain .pth: setuptools' finder would import many modules before the first line of the command.
            plain = ["--config-settings", "editable_mode=compat"]
            run([*pip, *plain, "--editable", f"{self.checkout}{extra}"], watch=_pip_progress)
            self._write_command()
            # Containers often make Python keep no bytecode; then each worker would compile all modules anew.
            run([str(self.python), "-m", "compileall", "-q", str(self.checkout / "harness")])
            text = json.dumps({"key": self._key(), "dev": dev, "python": sys.version})
            removal.write_whole(self.folder / STAMP, text)

    def _write_command(self) -> None:
        """Replace pip's ``bin/harness``, which imports ``re`` first and lets ``PYTHONPATH`` decide from where.

        With ``-I`` Python ignores its environment variables; the command itself passes ``PYTHONPATH`` on to the suite.
        """
        first = f"#!{self.python} -I\n"
        command = self.folder / "bin" / "harness"
        if len(first) > _LONGEST_FIRST_LINE or " " in str(self.python) or not command.exists():
            return
        removal.write_whole(command, f"{first}import sys\n\nfrom harness.__main__ import main\n\nsys.exit(main())\n")
        command.chmod(0o755)

    def _empty(self, *, keep: bool) -> None:
        """Make the folder, or remove from it what an earlier set-up left; with ``keep`` only the stamp.

        Raises:
            SetupError: the harness did not make the folder's environment.
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
        """Lock the checkout, so that two first runs at once do not write the same environment."""
        with (self.checkout / "pyproject.toml").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _pip_progress(line: str) -> str | None:
    if line.startswith(("Building wheel", "Building editable", "Installing collected")):
        return line if len(line) < 80 else line[:77] + "..."
    return None


def lacking(requirements: list[str]) -> list[str]:
    """List the requirements that this interpreter does not meet.

    Understands ``name``, ``name>=low``, ``name<high`` and ``name>=low,<high``, the only forms in ``pyproject.toml``.
    """
    return [text for text in requirements if not _met(text)]


def _met(requirement: str) -> bool:
    from importlib import metadata  # imported here: it costs time, and a finished environment does not need it

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
    """Replace this process by ``python -m harness ARGUMENTS``.

    Raises:
        SetupError: ``reenter`` started this process already with that interpreter; a second time would be a loop.
    """
    if os.environ.get("HARNESS_ENTERED") == str(python):
        raise SetupError(f"{python} still lacks what the project depends on; delete its folder and run again")
    children.become(python, arguments, {"HARNESS_ENTERED": str(python)})

"""Starts the command again when the person's environment changes its interpreter, before anything else is imported.

A folder of ``PYTHONPATH`` stands before Python's own: a ``signal.py`` there would stand for Python's. So this module
imports only what Python has loaded before its first line, ``os`` and ``sys``, and not even ``__future__``. What Python
itself imports earlier (``site``, ``runpy`` for ``python -m``, the ``.pth`` files of site-packages) cannot be mended.
"""

import os
import sys

USER_PATH = "HARNESS_PYTHONPATH"
"""Variable that carries the person's ``PYTHONPATH`` to the suite and the adapter, which search it last."""

_VARIABLES = ("PYTHONHOME", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONUTF8", "PYTHONPATH")


def checkout() -> str:
    """The checkout that this package is part of; empty when it was installed from a wheel."""
    folder = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    parts = os.path.isfile(os.path.join(folder, "pyproject.toml")), os.path.isdir(os.path.join(folder, "drivers"))
    return folder if all(parts) else ""


def users_modules() -> list[str]:
    """The folders of the person's own modules: ``PYTHONPATH`` as it was when the command was started."""
    said = os.environ.get(USER_PATH) or os.environ.get("PYTHONPATH", "")
    folders = dict.fromkeys(os.path.abspath(folder) for folder in said.split(os.pathsep) if folder)
    return [folder for folder in folders if folder != checkout()]


def module_paths() -> dict[str, str]:
    """Where a new interpreter finds this package, when that is a checkout, and the person's modules."""
    names = {USER_PATH: os.pathsep.join(users_modules()), "PYTHONPATH": checkout()}
    return {name: value for name, value in names.items() if value}


def command(module: str, *arguments: str, interpreter: str = "") -> list[str]:
    """The command line that runs a module by an interpreter, this one by default.

    ``-P`` keeps the current folder out of the module search path: a ``queue.py`` or a folder ``harness`` there would
    stand for the real one.
    """
    return [interpreter or sys.executable, "-P", "-m", module, *arguments]


def renew() -> None:
    """Start this command again when the person's variables change its interpreter; returns when they do not.

    ``PYTHONPATH`` goes on as ``HARNESS_PYTHONPATH``: a module there must not stand for one of Python's.
    """
    own = checkout()
    if not any(os.environ.get(name) not in (None, "", own) for name in _VARIABLES):
        return
    kept = {name: value for name, value in os.environ.items() if name not in _VARIABLES}
    os.execve(sys.executable, command("harness", *sys.argv[1:]), {**kept, **module_paths()})

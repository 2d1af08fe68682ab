"""The adapter of a run by its name: ``module:Class`` or ``path/to/file.py:Class``. What one is: ``harness.adapter``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cell import modules
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.cell.adapter import DriverAdapter


def find(reference: str) -> type[DriverAdapter]:
    """The adapter that ``module:Class`` or ``file.py:Class`` names.

    Raises:
        UsageError: there is none.
    """
    from harness.cell.adapter import DriverAdapter

    place, _, name = reference.rpartition(":")
    modules.add_users_folders(Path.cwd())
    try:
        if place.endswith(".py"):
            # The name is not the file's: a suite may have a package that is called like the adapter's file.
            spec = importlib.util.spec_from_file_location(f"harness_adapter_{Path(place).stem}", place)
            if spec is None or spec.loader is None:
                raise ImportError(f"{place} is no Python file")
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[spec.name]  # a module that was not read to its end must not stand for the file
                raise
        else:
            module = importlib.import_module(place)
        found = getattr(module, name)
    except (ImportError, OSError, AttributeError, ValueError) as error:
        raise UsageError(f"adapter {reference}: {error}", mend="write it as module:Class or file.py:Class") from None
    except Exception as error:  # whatever its module does when it is imported
        raise UsageError(f"adapter {reference}: {type(error).__name__}: {error}") from None
    if not (isinstance(found, type) and issubclass(found, DriverAdapter)):
        raise UsageError(f"adapter {reference} is not derived from harness.adapter.DriverAdapter")
    if found.execute is DriverAdapter.execute:
        raise UsageError(f"adapter {reference} does not say how to execute operations", mend="write its `execute`")
    return found


def absolute(reference: str, folder: Path | None = None) -> str:
    """The same adapter, by an absolute path where it is a file's; ``folder`` is where relative ones begin."""
    place, colon, name = reference.rpartition(":")
    if not place.endswith(".py"):
        return reference
    return f"{(folder or Path.cwd()).absolute() / Path(place).expanduser()}{colon}{name}"


def moved(reference: str, folder: Path) -> str:
    """The same adapter once its file, if it is named by one, lies in another folder."""
    file = file_of(reference)
    return reference if file is None else f"{folder / file.name}:{reference.rpartition(':')[2]}"


def file_of(reference: str) -> Path | None:
    """The file that holds the adapter, if it is named by its file."""
    place = reference.rpartition(":")[0]
    return Path(place) if place.endswith(".py") else None

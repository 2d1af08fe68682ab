"""What the cases of a suite are called: the same whatever other suites a run has.

A case is named by its test file's path from the project that the suite belongs to: the nearest folder above it with one
of ``MARKS``. Without a project it is the path from the working folder, and outside of that the suite's folder and what
is below it. The suites that belong to the harness are named from their own folder, as all histories have them.
"""

from __future__ import annotations

from pathlib import Path

from harness import resources

MARKS = ("harness.toml", ".git", "pyproject.toml", "pytest.ini", "tox.ini", "setup.cfg")


def folder_of(suite: Path) -> Path:
    """The folder of a suite, which is one itself or a test file, perhaps with a test's name behind it."""
    path = Path(str(suite).split("::", 1)[0])
    return path if path.is_dir() else path.parent


def prefix(suite: Path, working: Path) -> str:
    """What stands before a test file's path below the suite's folder: empty, or a path with a slash at its end.

    Args:
        suite: absolute path of a test file or a folder.
        working: the folder in which the run was started.
    """
    folder = folder_of(suite)
    for own in (resources.suite(), resources.root() / "tests" / "defects"):
        if folder.is_relative_to(own):
            return _slashed(folder.relative_to(own))
    project = next(
        (above for above in (folder, *folder.parents) if any((above / mark).exists() for mark in MARKS)), None
    )
    for base in (project, working):
        if base is not None and folder.is_relative_to(base):
            return _slashed(folder.relative_to(base))
    return _slashed(Path(folder.name))


def _slashed(path: Path) -> str:
    return "" if path == Path() else f"{path.as_posix()}/"


class Identities:
    """The ids of the tests of a run.

    Args:
        suites: absolute paths of its suites.
        prefixes: of each, as ``prefix`` gives it.
    """

    def __init__(self, suites: tuple[Path, ...], prefixes: tuple[str, ...]) -> None:
        folders = [folder_of(suite).resolve() for suite in suites]
        self._folders = sorted(zip(folders, prefixes, strict=True), key=lambda item: len(item[0].parts))

    def of(self, path: Path, nodeid: str) -> str:
        """The id of a test in this file, which pytest calls ``nodeid``."""
        resolved = path.resolve()
        for folder, before in self._folders:
            if resolved.is_relative_to(folder):
                return f"{before}{resolved.relative_to(folder).as_posix()}::{nodeid.partition('::')[2]}"
        return nodeid


def same_file(suites: tuple[Path, ...]) -> tuple[Path, Path] | None:
    """Two test files of the suites that a link makes one file, so that its cases would have the same ids."""
    files: dict[Path, Path] = {}
    for suite in suites:
        path = Path(str(suite).split("::", 1)[0]).absolute()
        for file in sorted(path.rglob("*.py")) if path.is_dir() else (path,):
            is_test = file.name.startswith("test_") or file.name.endswith("_test.py")
            if is_test and (first := files.setdefault(file.resolve(), file)) != file:
                return first, file
    return None


def alike(suites: tuple[Path, ...]) -> bool:
    """Whether two files of the suites have one name, so that Python could not import both by it."""
    files: dict[str, Path] = {}
    for suite in suites:
        path = Path(str(suite).split("::", 1)[0])
        for file in path.rglob("*.py") if path.is_dir() else (path,):
            if file.stem not in ("__init__", "conftest") and files.setdefault(file.stem, file) != file:
                return True
    return False

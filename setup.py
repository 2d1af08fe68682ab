"""Puts driver sources, image recipes, regression suite and defects into the wheel; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = ("drivers", "images", "tests/regression", "tests/defects")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*_cache", "*.o", "*.obj", "*.sys", "*.exe")


class BuildWithData(build_py):
    """Copies the folders that ``harness.resources.root`` finds into ``harness/_data`` of the wheel."""

    def run(self) -> None:
        """Build as usual; an editable install finds the folders in the checkout."""
        super().run()
        if self.editable_mode:
            return
        for folder in FOLDERS:
            target = Path(self.build_lib) / "harness" / "_data" / folder
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(folder, target, ignore=LEFT_OUT)


setup(cmdclass={"build_py": BuildWithData})

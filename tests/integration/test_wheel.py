"""A wheel built from the tree carries what a run needs, and works in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import resources

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git knows, so that nothing half-made gets in and nothing is left behind."""
    checkout = resources.checkout()
    assert checkout is not None
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=checkout,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("git does not know this checkout")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (checkout / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((checkout / name).read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", str(source), "-w", str(out)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs ``harness`` from an environment that has the wheel, and the dependencies of the running one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (site / "borrowed.pth").write_text("\n".join(borrowed))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [str(folder / "bin" / "python"), "-I", "-m", "harness", *arguments]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(argv, cwd=folder, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    return run


def test_it_carries_every_source_recipe_and_case(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    checkout = resources.root()
    for folder in resources.FOLDERS:
        for path in (checkout / folder).rglob("*"):
            wanted = path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".pyc", ".sys", ".exe")
            assert not wanted or f"harness/_data/{path.relative_to(checkout)}" in inside


def test_it_carries_every_template_and_table(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for pattern in ("*.toml", "*.j2"):
        for path in resources.PACKAGE.rglob(pattern):
            assert path.relative_to(resources.PACKAGE.parent).as_posix() in inside


def test_it_and_its_checkout_are_the_same_version(wheel: Path, tmp_path: Path) -> None:
    """Hosts of a run compare the digest, however they came by the harness."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    place = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
    argv = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"{place}; from harness import resources as r; print(r.digest(), r.PACKAGE)",
    ]

    def told() -> list[str]:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()

    assert told() == [resources.digest(), str(tmp_path / "harness")]
    with (tmp_path / "harness" / "cli.py").open("a") as file:
        file.write("# another line\n")
    assert told()[0] != resources.digest()


def test_the_installed_command_runs_without_a_checkout(installed: Run) -> None:
    done = installed("driver", "build", "--no-install")
    assert done.returncode == 0, done.stderr
    assert "wsksend.sys" in done.stdout
    assert installed("run", "--nic", "nothing", "--no-install").stderr.startswith("harness: no NIC model")


def test_the_installed_command_makes_no_environment(installed: Run) -> None:
    done = installed("setup", "--no-install")
    assert (done.returncode, done.stdout) == (0, "everything is in place\n"), done.stderr

"""The set-up: what it finds missing, what it would type, what it trusts, and that it needs nothing but Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness import __version__, resources
from harness.__main__ import main
from harness.setup import bootstrap, debian
from harness.setup.console import EXIT_USAGE, SetupError
from harness.setup.debian import Package
from harness.setup.environment import STAMP, Environment, lacking

ROOT = resources.PACKAGE.parent
ABSENT = Package("no-such-package", ("lab",), "a test", commands=("no-such-command-here",))


def checkout(folder: Path, dependencies: str = '"rich>=1.0"') -> Path:
    (folder / "pyproject.toml").write_text(
        f'[project]\ndependencies = [{dependencies}]\noptional-dependencies = {{ dev = ["mypy"] }}\n'
    )
    return folder


def finish(environment: Environment) -> None:
    """Make the folder look finished."""
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    stamp = {"key": environment._key(), "dev": environment.dev, "python": sys.version}
    (environment.folder / STAMP).write_text(json.dumps(stamp))


def test_it_needs_nothing_but_the_standard_library() -> None:
    code = "import harness.__main__, harness.setup.bootstrap, harness.setup.doctor; print('imported')"
    argv = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.stdout == "imported\n", done.stderr


def test_every_package_says_why_and_how_to_see_it() -> None:
    for package in debian.packages():
        assert package.why, package
        assert package.commands or package.files, package
        assert set(package.purposes) <= {"venv", "drivers", "image", "lab", "test", "sign", "windows"}


def test_purposes_of_commands_are_in_the_list() -> None:
    known = {purpose for package in debian.packages() for purpose in package.purposes}
    assert {purpose for needed in bootstrap.PURPOSES.values() for purpose in needed} <= known


def test_a_package_is_there_when_its_files_are(tmp_path: Path) -> None:
    (tmp_path / "lib.so.1").touch()
    assert Package("p", (), "", files=(f"{tmp_path}/lib.so.*",)).present()
    assert not Package("p", (), "", files=(f"{tmp_path}/lib.so.*", f"{tmp_path}/other")).present()
    assert Package("p", (), "", commands=("sh",)).present()
    assert not ABSENT.present()


def test_sbin_counts_although_an_ordinary_path_leaves_it_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(debian, "_SBIN", (str(tmp_path / "sbin"),))
    tool = tmp_path / "sbin" / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert debian.find_command("tool") == str(tool)


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("run --nic e1000", {"drivers", "image", "lab"}),
        ("test", {"drivers", "image", "lab", "test"}),
        ("driver build", {"drivers"}),
        ("driver check a.sys", set()),
        ("driver sign a.sys", {"drivers", "sign"}),
        ("image build windows --iso a.iso", {"windows", "lab"}),
        ("image build wine", {"image", "drivers"}),
        ("accept --guest a", {"drivers", "lab", "windows"}),
        ("nightly --runs nights", {"drivers", "image", "lab"}),
        ("bisect builds/", {"drivers", "image", "lab"}),
        ("shell -- sc query wsksend", {"drivers", "image", "lab"}),
        ("defects --short", {"drivers", "image", "lab"}),
        ("worker tcp://host:8786", {"drivers", "image", "lab"}),
        ("nightly --units units/", set()),
        ("accept --list", set()),
        ("image list", set()),
        ("run --help", set()),
        ("--version", set()),
    ],
)
def test_what_a_command_needs(line: str, needed: set[str]) -> None:
    assert set(bootstrap.purposes(line.split())) == needed


def test_no_install_gives_the_command_and_exit_code_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(debian, "packages", lambda: (ABSENT,))
    with pytest.raises(SetupError, match="apt-get install --no-install-recommends -y no-such-package") as caught:
        bootstrap.ensure(["run", "--no-install"], tmp_path / "harness")
    assert caught.value.exit_code == EXIT_USAGE


def test_no_install_names_the_environment_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    checkout(tmp_path, '"no-such-distribution>=1"')
    monkeypatch.setattr(debian, "packages", lambda: ())
    with pytest.raises(SetupError, match="-m harness setup --dev"):
        bootstrap.ensure(["test", "--no-install"], tmp_path / "harness")


def test_a_user_who_may_not_install_gets_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(debian, "find_command", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    with pytest.raises(SetupError, match="run: sudo apt-get install") as caught:
        debian.install([ABSENT])
    assert caught.value.exit_code == EXIT_USAGE


def test_a_host_without_apt_gets_the_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "find_command", lambda name: None)
    with pytest.raises(SetupError, match=r"no apt-get.*no-such-package") as caught:
        debian.install([ABSENT])
    assert caught.value.exit_code == EXIT_USAGE


def test_an_environment_without_its_stamp_is_not_trusted(tmp_path: Path) -> None:
    environment = Environment(checkout(tmp_path), dev=False)
    assert not environment.ready()
    finish(environment)
    assert environment.ready()
    (environment.folder / STAMP).unlink()
    assert not environment.ready()


@pytest.mark.parametrize("stamp", ["", "{", "[]", '{"key": 1}'])
def test_a_damaged_stamp_is_not_trusted(tmp_path: Path, stamp: str) -> None:
    environment = Environment(checkout(tmp_path), dev=False)
    finish(environment)
    (environment.folder / STAMP).write_text(stamp)
    assert not environment.ready()


def test_a_changed_project_python_or_harness_asks_for_a_new_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(checkout(tmp_path), dev=False)
    finish(environment)
    monkeypatch.setattr("harness.setup.environment.__version__", __version__ + "1")
    assert not environment.ready()
    monkeypatch.undo()
    assert environment.ready()
    checkout(tmp_path, '"rich>=2.0"')
    assert not environment.ready()


def test_the_tests_need_more_than_a_run(tmp_path: Path) -> None:
    finish(Environment(checkout(tmp_path), dev=False))
    assert not Environment(tmp_path, dev=True).ready()


def test_a_full_environment_serves_a_run(tmp_path: Path) -> None:
    finish(Environment(checkout(tmp_path), dev=True))
    assert Environment(tmp_path, dev=False).ready()


def test_an_interrupted_set_up_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment(checkout(tmp_path), dev=False)
    finish(environment)
    checkout(tmp_path, '"rich>=2.0"')
    calls: list[list[str]] = []

    def interrupted(argv: list[str], **_options: object) -> None:
        calls.append(argv)
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.setup.environment.run", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            environment.make()
    assert "pip" in calls[0], "a finished environment is brought up to date"
    assert "venv" in calls[1], "a half-made one is made from nothing"


def test_the_command_reads_no_variable_of_pythons(tmp_path: Path) -> None:
    environment = Environment(tmp_path, dev=False)
    (environment.folder / "bin").mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    command = environment.folder / "bin" / "harness"
    command.write_text("#!/bin/false\n")
    environment._write_command()
    (tmp_path / "enum.py").write_text("raise SystemExit('shadowed')\n")
    done = subprocess.run([command], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert "No module named 'harness'" in done.stderr  # this environment is empty; nothing else went wrong
    assert "shadowed" not in done.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("accept --guest none", "no image of a Windows guest 'none' (there are: none)"),
        ("accept --guest=none --json", "no image of a Windows guest 'none' (there are: none)"),
        ("accept", "no guest is named"),
    ],
)
def test_a_guest_that_is_not_there_is_refused_before_anything_is_installed(
    line: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def ensure(*_: object) -> None:
        raise AssertionError("the set-up began")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(bootstrap, "ensure", ensure)
    monkeypatch.setattr(sys, "argv", ["harness", *line.split()])
    assert main() == EXIT_USAGE
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"harness: {told}")


def test_requirements_are_held_against_what_is_installed() -> None:
    assert lacking(["pytest>=1.0", "rich"]) == []
    assert lacking(["pytest>=1000.0", "no-such-distribution"]) == ["pytest>=1000.0", "no-such-distribution"]
    assert lacking(["pytest>=1.0,<1000", "pytest>=1.0,<2"]) == ["pytest>=1.0,<2"]


def test_progress_of_apt_is_told_now_and_then() -> None:
    watch = debian.progress()
    lines = ["0 upgraded, 10 newly installed, 0 to remove", "Need to get 5 MB of archives."]
    lines += [f"Setting up p{number} (1.0) ..." for number in range(10)]
    told = [text for line in lines if (text := watch(line))]
    assert told[:2] == ["10 packages with those they depend on", "Need to get 5 MB of archives."]
    assert told[2:] == [f"{count} of 10 packages installed" for count in (2, 4, 6, 8, 10)]


def test_a_failed_tool_shows_its_last_lines() -> None:
    from harness.setup.console import run

    with pytest.raises(SetupError) as caught:
        run(["sh", "-c", "echo first; echo the reason >&2; exit 3"])
    assert "the reason" in caught.value.detail
    with pytest.raises(SetupError, match="cannot run no-such-command-here"):
        run(["no-such-command-here"])


def test_a_tool_cannot_ask_a_question() -> None:
    from harness.setup.console import run

    lines: list[str] = []
    run(["sh", "-c", "if read answer; then echo answered; else echo closed; fi"], watch=lambda line: lines.append(line))
    assert lines == ["closed"]

"""A reader that goes away, a closed stream or a full disk: the exit code stays the command's own, and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = [sys.executable, "-m", "harness"]
LONG = "accept --list --json"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-c", line, "bash", *HARNESS]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", [LONG, "--help", "accept --list", "matrix", "matrix --json", "image list --json"])
def test_a_reader_that_goes_away_is_no_failure(command: str, tmp_path: Path) -> None:
    done = shell(f'{{ sleep 0.1; "$@" {command}; echo $? >code; }} | true', tmp_path)
    assert ((tmp_path / "code").read_text().strip(), done.stderr) == ("0", "")


def test_a_command_that_says_no_still_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.sys").write_bytes(b"MZ")
    shell('{ sleep 0.1; "$@" driver check x.sys; echo $? >code; } | true', tmp_path)
    assert (tmp_path / "code").read_text().strip() == "1"


@pytest.mark.parametrize(
    ("streams", "code"),
    [(">&-", "0"), ("2>&-", "0"), (">&- 2>&-", "0"), ("<&-", "0"), ("2>/dev/full", "0"), (">/dev/full", "3")],
)
def test_closed_streams_and_full_disks(streams: str, code: str, tmp_path: Path) -> None:
    done = shell(f'"$@" {LONG} {streams}; echo $? >code', tmp_path)
    assert (tmp_path / "code").read_text().strip() == code
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("ignored", [False, True])
def test_a_hang_up_ends_a_command_in_order_unless_nohup_ignores_it(ignored: bool, tmp_path: Path) -> None:
    program = (
        "import os, signal\nfrom harness.cli import app as cli\n"
        f"{'signal.signal(signal.SIGHUP, signal.SIG_IGN)' if ignored else ''}\n"
        "cli.app.command('hang')(lambda: os.kill(os.getpid(), signal.SIGHUP))\n"
        "raise SystemExit(cli.run_app(['hang']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == (0 if ignored else 130), (done.returncode, done.stderr, signal.SIGHUP, os.getpid())


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_takes_no_more_is_one_line(unbuffered: str, tmp_path: Path) -> None:
    line = f"{sys.executable} -m harness accept --list >/dev/full"
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (3, "harness: cannot write the output: No space left on device\n")

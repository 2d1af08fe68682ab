"""A driver of somebody else's, with its own IOCTLs, tested in a guest through nothing but its adapter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness import resources
from harness.guests.wine import wine_image
from tests.adapter.make_cast import HERE, make

SECONDS = 300


def test_a_foreign_driver_passes_its_suite_through_its_adapter(tmp_path: Path) -> None:
    if wine_image.find() is None:
        pytest.skip("the Wine guest's image is not built: harness image build wine")
    driver = make(tmp_path)
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "harness", "run", "--no-install", "--nic", "e1000", "-o", str(folder)]
    command += ["--driver", str(driver), "--adapter", f"{HERE.parent / 'cast_adapter.py'}:CastAdapter"]
    command += ["--suite", str(HERE.parent / "suite")]
    ran = subprocess.run(command, cwd=resources.root(), capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    cases = json.loads((folder / "results.json").read_text())["cells"][0]["cases"]
    statuses = {case["id"].split("::")[1]: case["status"] for case in cases}
    assert statuses.pop("test_what_it_has_not_is_skipped") == "skipped"
    assert set(statuses.values()) == {"passed"}
    assert sum(case["datagrams"]["matched"] for case in cases) == 15

"""What every cell imports when it starts does not load numpy, which takes a tenth of a second."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness import children


@pytest.mark.parametrize("module", ["harness.cell.session", "harness.cell.run", "harness.verify.judge"])
def test_numpy_is_not_loaded(module: str) -> None:
    code = f"import sys, {module}; sys.exit('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], env=children.tool_environment(), check=False)
    assert done.returncode == 0, f"importing {module} loads numpy"

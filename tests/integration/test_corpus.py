"""tshark's reading and the one in columns give every file of the corpus the same verdict."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.offline.verify import Reader
from tests.corpus.check import check, told
from tests.corpus.damages import corpus
from tests.corpus.kinds import kinds

CORPUS = {item.name: item for item in (*corpus(), *kinds())}

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


@pytest.mark.parametrize("name", CORPUS)
def test_both_readers_say_the_same(name: str, tmp_path: Path) -> None:
    item = CORPUS[name]
    assert told(check(item, tmp_path, Reader.TSHARK)) == told(check(item, tmp_path, Reader.FAST))


@pytest.mark.parametrize("tool", ["zstd", "lz4"])
def test_what_other_tools_compress_is_read(tool: str, tmp_path: Path) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    item = CORPUS["burst-drop"]
    done = subprocess.run([tool, "-c"], input=item.content, capture_output=True, check=True)
    assert told(check(replace(item, content=done.stdout), tmp_path, Reader.TSHARK)) == told(
        check(replace(item, content=gzip.compress(item.content)), tmp_path, Reader.FAST)
    )

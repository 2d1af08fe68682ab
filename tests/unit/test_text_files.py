"""Files as Windows editors save them are read; what cannot be read is one line and a usage error."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from harness.cli import config
from harness.cli.app import run_app
from harness.errors import EXIT_USAGE, UsageError
from harness.files import text_file
from harness.history import known
from harness.matrix import launch
from harness.results.record import CellResult, Results, RunInfo, dumps, load
from harness.results.status import Status
from harness.trace import trace_lines
from harness.trace.trace_file import read_plan
from tests.unit.verify_kit import site

KNOWN = '[[known]]\ncase = "test_a"\nreason = "x"\nexpires = 2030-01-01\n'
RESULTS = Results(RunInfo("r", "2026-01-01T00:00:00+00:00"), (CellResult("wine", "e1000", Status.PASSED),))
FORMS = {"bom": (codecs.BOM_UTF8, "\n"), "crlf": (b"", "\r\n"), "both": (codecs.BOM_UTF8, "\r\n")}


@pytest.mark.parametrize("form", FORMS)
def test_files_of_windows_editors_are_read(tmp_path: Path, form: str) -> None:
    def saved(name: str, text: str) -> Path:
        mark, end = FORMS[form]
        path = tmp_path / name
        path.write_bytes(mark + text.replace("\n", end).encode())
        return path

    assert config.load(saved("harness.toml", 'nics = [\n "e1000"]\n')).nics == ("e1000",)
    assert known.load(saved("known.toml", KNOWN))[0].case == "test_a"
    assert load(saved("results.json", dumps(RESULTS))) == RESULTS
    header = trace_lines.Header("r", "wine", site().to_json(), "wine x e1000")
    text = "".join(f"{line}\n" for line in trace_lines.lines(trace_lines.Plan(header, ())))
    made, _ = read_plan(saved("operations.jsonl", text))
    assert (made.header.run, made.doubts) == ("r", ())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_utf_16_is_called_by_its_name(tmp_path: Path, encoding: str) -> None:
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    (tmp_path / "harness.toml").write_bytes(mark + 'nics = ["e1000"]\n'.encode(encoding))
    with pytest.raises(UsageError, match="UTF-16"):
        config.load(tmp_path / "harness.toml")


def test_what_is_not_text_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"a = 1\nb = '\xe9'\n")
    with pytest.raises(UsageError) as caught:
        text_file.read(tmp_path / "x.toml")
    assert caught.value.line().endswith("x.toml:2: this is not UTF-8 text; save it as UTF-8")


WRONG = {
    "deep": "nics = " + "[" * 20_000 + "]" * 20_000,
    "deep table": "nics = " + "{a = " * 5_000 + "1" + "}" * 5_000,
    "long number": f"jobs = {'9' * 5_000}",
    "large number": "jobs = 99999999999999999999999",
    "large memory": "[lab]\nmemory = 99999999999999999999999",
    "nan": "jobs = nan",
    "infinite": "jobs = inf",
    "nobody's home": 'driver = "~nosuchuser/x.sys"',
    "nul": 'driver = "a\\u0000b.sys"',
    "nul in history": 'history = "a\\u0000b"',
    "nul in suite": 'suite = ["a\\u0000b"]',
    "nul in a nic": 'nics = ["e1000\\u0000"]',
    "nul in a guest": 'guests = ["wine\\u0000"]',
    "nul in an adapter": 'adapter = "a\\u0000b.py:X"',
    "nul in output": 'output = "a\\u0000b"',
    "number for text": "guests = [1]",
    "text for a table": 'lab = "x"',
    "bytes": "nics = '\x1b[31m'",
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("command", ["matrix", "run"])
def test_mistakes_in_the_configuration_are_the_users(
    tmp_path: Path, what: str, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "execute", lambda *arguments: pytest.fail("a run began"))
    (tmp_path / "harness.toml").write_text(WRONG[what])
    assert run_app([command]) == EXIT_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("harness: ")
    assert "error in the harness" not in line
    assert "\x1b" not in line
    assert len(line) < 500
    assert [path.name for path in tmp_path.iterdir()] == ["harness.toml"]

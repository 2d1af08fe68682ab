"""Runs and bundles that somebody else made: no path or link of theirs is followed, and every input has its limit."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.capture.tshark import one_pass
from harness.cli.app import run_app
from harness.errors import UsageError
from harness.files import inside
from harness.matrix import merge, overview
from harness.offline import recorded, sources
from harness.report import html, junit
from harness.results import record
from harness.results.record import CaseResult, CellResult, load
from harness.results.status import Status
from tests.unit.test_whole import CAPTURE, PLAN, a_run, edit_plan, edit_record, replayed, without

SECRET = "only root may read this"
FOLDERS = (
    "sub/../../evil",
    "/etc",
    "..",
    "cells",
    "cells/",
    "cells/..",
    "cells/a/b",
    "cells/.hidden",
    "x/a",
    "cells/a\nb",
)
FILES = (
    "../x",
    "/etc/shadow",
    "a/b",
    "..",
    ".",
    "javascript:alert(1)",
    "cells/../x",
    "../../../etc/shadow",
    "a\x1bb",
    "",
)


@pytest.fixture(autouse=True)
def _no_tshark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "find", lambda: "")


def merged(capsys: pytest.CaptureFixture[str], *folders: Path, output: Path) -> tuple[int, str]:
    code = run_app(["merge", *map(str, folders), "-o", str(output)])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def tree(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


def change_cell(**values: Any) -> Callable[[dict[str, Any]], None]:  # noqa: ANN401 - any JSON
    return lambda value: value["cells"][0].update(values)


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("command", ["merge", "replay", "load"])
def test_a_folder_that_leads_elsewhere(
    command: str, folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = a_run(tmp_path / "shard")
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "x").write_text(SECRET)
    edit_record(root, change_cell(folder=folder, files=[]))
    before = tree(tmp_path)
    if command == "load":
        with pytest.raises(UsageError, match="names the folder"):
            load(root)
        return
    if command == "merge":
        code, said = merged(capsys, root, output=tmp_path / "all")
    else:
        code, said = replayed(root, capsys)
    assert (code, len(said.splitlines())) == (2, 1), said
    assert "names the folder" in said
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", FILES)
def test_evidence_that_lies_elsewhere(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path / "shard")
    edit_record(root, change_cell(evidence={"console": name}))
    code, said = merged(capsys, root, output=tmp_path / "all")
    assert (code, len(said.splitlines())) == (2, 1), said
    assert "names the file" in said
    assert not (tmp_path / "all").exists()


def a_link(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def a_hard_link(path: Path, secret: Path) -> None:
    path.hardlink_to(secret)


def a_fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [a_link, a_hard_link, a_fifo])
@pytest.mark.parametrize("name", ["console.log", PLAN, CAPTURE, "other"])
def test_no_link_is_copied_by_a_merge(
    make: Callable[[Path, Path], None], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = a_run(tmp_path / "shard")
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    path = root / "cells/wine--e1000" / name
    path.unlink(missing_ok=True)
    make(path, secret)
    edit_record(root, change_cell(evidence={"console": "console.log"}, status="failed"))
    code, said = merged(capsys, root, output=tmp_path / "all")
    assert code == 2, said
    assert str(path) in said.replace("\n", "")
    assert not (tmp_path / "all").exists()


@pytest.mark.parametrize("make", [a_link, a_hard_link, a_fifo])
def test_no_link_is_judged_or_shown(
    make: Callable[[Path, Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = a_run(tmp_path / "shard")
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    edit_record(root, change_cell(evidence={"console": "console.log"}, status="failed"))
    make(root / "cells/wine--e1000/console.log", secret)
    html.write(load(root), root)
    assert SECRET not in (root / "index.html").read_text()
    (root / "cells/wine--e1000" / PLAN).unlink()
    make(root / "cells/wine--e1000" / PLAN, secret)
    assert replayed(root, capsys)[0] == 2


def test_a_cell_s_folder_that_is_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path / "shard")
    (root / "cells/wine--e1000").rename(tmp_path / "elsewhere")
    (root / "cells/wine--e1000").symlink_to(tmp_path / "elsewhere")
    assert merged(capsys, root, output=tmp_path / "all")[0] == 2
    assert replayed(root, capsys)[0] == 2


def test_nothing_is_written_through_a_link_in_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path / "shard")
    (tmp_path / "elsewhere").mkdir()
    victim = tmp_path / "victim"
    victim.write_text(SECRET)
    output = tmp_path / "all"
    assert merged(capsys, root, output=output)[0] == 0
    for name in (f"cells/wine--e1000/{PLAN}", "summary.md", "index.html", "results.json", "junit.xml"):
        path = output / name
        path.unlink(missing_ok=True)
        path.symlink_to(victim)
        assert merged(capsys, root, output=output)[0] != 0
        path.unlink(missing_ok=True)
        path.hardlink_to(victim)
        assert merged(capsys, root, output=output)[0] == 0
        assert victim.read_text() == SECRET
    for inner in ("cells/wine--e1000", "cells"):
        (output / inner).rename(tmp_path / f"was-{inner.replace('/', '-')}")
        (output / inner).symlink_to(tmp_path / "elsewhere")
        assert merged(capsys, root, output=output)[0] == 2
        assert not tree(tmp_path / "elsewhere")
        (output / inner).unlink()
        (output / inner).mkdir()


def test_a_copy_keeps_no_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path / "shard")
    path = root / "cells/wine--e1000/tool"
    path.write_text("x")
    path.chmod(0o6755)
    assert merged(capsys, root, output=tmp_path / "all")[0] == 0
    assert stat.S_IMODE((tmp_path / "all/cells/wine--e1000/tool").stat().st_mode) & 0o6111 == 0


@pytest.mark.parametrize("where", ["", "inside", "other"])
def test_an_output_that_is_somebody_else_s(where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path / "shard")
    output = tmp_path / "other" if where == "other" else root / where if where else root
    output.mkdir(exist_ok=True)
    if where == "other":
        (output / "notes.txt").write_text("mine")
    before = tree(tmp_path)
    assert merged(capsys, root, output=output)[0] == 2
    assert tree(tmp_path) == before


def test_a_merge_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, struck, gone = (a_run(tmp_path / nic, f"wine--{nic}") for nic in ("e1000", "pcnet", "rtl8139"))
    assert merged(capsys, whole, output=tmp_path / "good")[0] == 0
    assert replayed(tmp_path / "good", capsys)[0] == 0
    edit_plan(struck / "cells/wine--pcnet", without("more"), seal=True)
    (gone / "cells/wine--rtl8139" / CAPTURE).unlink()
    code, _ = merged(capsys, whole, struck, gone, output=tmp_path / "all")
    assert code == 3
    reasons = {cell.nic: cell.reason for cell in load(tmp_path / "all").cells}
    assert reasons["e1000"] == ""
    assert "cells/wine--pcnet/operations.jsonl is not the file that the run left" in reasons["pcnet"]
    assert "the record says passed of more, of which the plan says nothing" in reasons["pcnet"]
    assert "cells/wine--rtl8139/capture.pcapng is not there" in reasons["rtl8139"]
    assert replayed(tmp_path / "all", capsys)[0] == 3


def test_two_runs_with_one_folder_for_two_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = a_run(tmp_path / "1"), a_run(tmp_path / "2")
    edit_record(two, change_cell(driver="other.sys"))
    code, said = merged(capsys, one, two, output=tmp_path / "all")
    assert code == 2
    assert "both have cells/wine--e1000" in said


@pytest.mark.parametrize("share", ["1/999999999", "2/x", "0/3", "4/3", "1/-1", "\u0661/3", "1/3/3", "1"])
def test_a_shard_that_cannot_be(share: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path / "shard")
    edit_record(root, lambda value: value["run"].update(shard=share))
    code, said = merged(capsys, root, output=tmp_path / "all")
    assert (code, len(said.splitlines())) == (2, 1), said
    assert run_app(["run", "--shard", share]) == 2


def test_many_shards_that_are_missing_are_few_lines(tmp_path: Path) -> None:
    root = a_run(tmp_path / "shard")
    edit_record(root, lambda value: value["run"].update(shard="7/9999"))
    made = merge.merge([root], tmp_path / "all")
    assert made.exit_code() == 3
    assert len(made.cells) == 22
    assert "9978 more shards" in made.cells[-1].reason


BAD_RECORDS = {
    "no JSON": b"{",
    "not UTF-8": b'{"schema": 1, "run": "\xff"}',
    "deep": b'{"schema": 1, "cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "cells of a wrong type": b'{"schema": 1, "run": {"id": "r", "started": "x"}, "cells": {"a": 1}}',
    "a case without status": b'{"schema": 1, "run": {"id": "r", "started": "x"}, "cells": [{"guest": "g", "nic": "n", '
    b'"status": "passed", "cases": [{"id": "x"}]}]}',
    "cases that are a number": b'{"schema": 1, "run": {"id": "r", "started": "x"}, "cells": [{"guest": "g", "nic": "n",'
    b'"status": "passed", "cases": 5}]}',
    "a newer schema": b'{"schema": 2, "run": {"id": "r", "started": "x"}, "cells": []}',
    "not a number": b'{"schema": 1, "run": {"id": "r", "started": "x"}, "cells": [{"guest": "g", "nic": "n", '
    b'"status": "passed", "timings": {"total": NaN}}]}',
    "out of range": b'{"schema": 1, "run": {"id": "r", "started": "x"}, "cells": [{"guest": "g", "nic": "n", '
    b'"status": "passed", "timings": {"total": 1e999}}]}',
    "more than 64 bits": b'{"schema": 1, "run": {"id": "r", "started": "x"}, "cells": [{"guest": "g", "nic": "n", '
    b'"status": "passed", "cases": [{"id": "x", "status": "passed", "datagrams": {"expected": 1'
    + b"0" * 19
    + b"}}]}]}",
    "many digits": b'{"schema": ' + b"1" * 5000 + b"}",
    "half a surrogate pair": b'{"schema": 1, "run": {"id": "\\ud800", "started": "x"}, "cells": []}',
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_bad_record_is_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path / "shard")
    (root / "results.json").write_bytes(BAD_RECORDS[name])
    for packed in (False, True):
        code, said = replayed(root, capsys, packed=packed)
        assert (code, len(said.splitlines())) == (2, 1), said
        assert "error in the harness" not in said
    code, said = merged(capsys, root, output=tmp_path / "all")
    assert (code, len(said.splitlines())) == (2, 1), said
    assert list(overview.records(tmp_path)) == []


STRANGE: list[Any] = [None, True, -1, 1e300, "", "x\n\x1b[31m", "</script>", [], {}, [1], {"a": 1}, "../x", 2**62]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - any JSON value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in places(item, (*path, key)))]


def test_a_strange_value_anywhere_in_a_record_is_read_or_refused(tmp_path: Path) -> None:
    root = a_run(tmp_path)
    edit_record(root, change_cell(evidence={"console": "c.log"}, timings={"boot": 1.0}, facts={"a": "b"}))
    text = (root / "results.json").read_text()
    for path in places(json.loads(text))[1:]:
        for strange in STRANGE:
            value = json.loads(text)
            inner = value
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = strange
            content = json.dumps(value).encode()
            with contextlib.suppress(UsageError):
                recorded.parsed(content, "x")
            with contextlib.suppress(UsageError):
                junit.render(record.from_bytes(content, "x"))


def test_a_record_that_is_too_large(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = a_run(tmp_path / "shard")
    with (root / "results.json").open("r+b") as file:
        file.truncate(300 << 20)
    for packed in (False, True):
        code, said = replayed(root, capsys, packed=packed)
        assert (code, len(said.splitlines())) == (2, 1), said
        assert "256 MiB" in said


def bundle(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def member(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../evil", "leads out of a bundle"),
        ("/etc/passwd", "leads out of a bundle"),
        ("cells/../../x/operations.jsonl", "leads out of a bundle"),
        ("cells\\..\\x", "leads out of a bundle"),
        ("cells/a\nb/operations.jsonl", "leads out of a bundle"),
        (member("cells/wine--pcnet/operations.jsonl", stat.S_IFLNK | 0o777), "no links and no devices"),
        (member("cells/wine--pcnet/capture.pcapng", stat.S_IFIFO | 0o644), "no links and no devices"),
        (member("cells/wine--pcnet/console.log", stat.S_IFBLK | 0o644), "no links and no devices"),
        ("results.json", "holds results.json twice"),
    ],
)
def test_what_no_bundle_holds(
    name: str | zipfile.ZipInfo, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = a_run(tmp_path / "run")
    run_app(["replay", str(root), "--pack", "-o", str(tmp_path / "run.zip")])
    with zipfile.ZipFile(tmp_path / "run.zip", "a") as archive, pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # zipfile does not like two of a name
        archive.writestr(name, b"/etc/shadow")
    capsys.readouterr()
    assert run_app(["replay", str(tmp_path / "run.zip")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("name", ["results.json", f"cells/wine--e1000/{PLAN}", f"cells/wine--e1000/{CAPTURE}"])
def test_a_member_of_a_gigabyte(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What its entry in the archive says is enough; whoever lies there gives no more bytes than that."""
    root = a_run(tmp_path / "run")
    run_app(["replay", str(root), "--pack", "-o", str(tmp_path / "run.zip")])
    content = bytearray((tmp_path / "run.zip").read_bytes())
    at = content.rindex(name.encode()) - 46  # the entry of the central directory: APPNOTE.TXT, section 4.3.12
    struct.pack_into("<I", content, at + 24, 1 << 30)
    (tmp_path / "run.zip").write_bytes(content)
    capsys.readouterr()
    assert run_app(["replay", str(tmp_path / "run.zip")]) == 2
    error = capsys.readouterr().err
    assert f"{name} of {tmp_path}/run.zip has {1 << 30} bytes" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("name", ["operations.jsonl", "console.log"])
def test_no_hard_link_is_packed(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path / "run")
    (tmp_path / "secret").write_text(SECRET)
    path = root / "cells/wine--e1000" / name
    path.unlink(missing_ok=True)
    path.hardlink_to(tmp_path / "secret")
    assert run_app(["replay", str(root), "--pack", "-o", str(tmp_path / "run.zip")]) == 2
    assert "has 2 hard links" in capsys.readouterr().err
    assert not (tmp_path / "run.zip").exists()


@pytest.mark.parametrize("limit", ["_LONGEST_LINE", "_LARGEST"])
def test_a_plan_that_is_too_large(
    limit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"harness.trace.trace_file.{limit}", 100)
    cell = a_run(tmp_path) / "cells/wine--e1000"
    assert run_app(["verify", str(cell / CAPTURE), "--plan", str(cell / PLAN)]) == 2
    assert "is too large" in capsys.readouterr().err


def test_too_many_members(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_MEMBERS", 10)
    path = bundle(tmp_path / "run.zip", *((f"cells/c{number}/{PLAN}", b"") for number in range(11)))
    assert run_app(["replay", str(path)]) == 2
    assert "holds 11 files, more than the 10" in capsys.readouterr().err


def test_what_unpacks_to_too_much(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LARGEST_SUM", 1 << 30)
    path = tmp_path / "run.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(3):
            with archive.open(f"cells/c{number}/{CAPTURE}", "w") as file:
                for _ in range(400):
                    file.write(bytes(1 << 20))
    assert run_app(["replay", str(path)]) == 2
    assert "more than the 1 GiB" in capsys.readouterr().err


def test_a_fifo_is_waited_for_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert run_app(["replay", str(fifo)]) == 2
    assert "is not a regular file" in capsys.readouterr().err
    root = a_run(tmp_path / "run")
    (root / "results.json").unlink()
    os.mkfifo(root / "results.json")
    for arguments in (["replay", str(root)], ["merge", str(root), "-o", str(tmp_path / "all")]):
        assert run_app(arguments) == 2
        assert "is not a regular file" in capsys.readouterr().err


def test_a_bundle_whose_run_lies_in_a_folder_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path / "run")
    path = tmp_path / "by-hand.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(tmp_path).as_posix())
    code = run_app(["replay", str(path)])
    assert code == 0, capsys.readouterr().out


def test_evidence_of_the_other_attempt_is_found_by_its_old_and_its_new_name() -> None:
    for text in ("cells/x--retry/capture.pcapng", "../../cells/x--retry/capture.pcapng"):
        assert inside.evidence("cells/x", text) == "cells/x--retry/capture.pcapng"
    assert inside.evidence("cells/x", "console.log") == "cells/x/console.log"
    assert inside.url("cells/wine--a=b,c d/x.log") == "cells/wine--a%3Db%2Cc%20d/x.log"


def test_a_record_of_ours_is_read_back(tmp_path: Path) -> None:
    root = a_run(tmp_path / "run", "wine--vfio_0000_01_00.0--my driver")
    assert load(root).cells[0].files[0].folder == "cells/wine--vfio_0000_01_00.0--my driver"
    assert json.loads((root / "results.json").read_text())["schema"] == 1
    assert CellResult("g", "n", Status.PASSED, cases=(CaseResult("x", Status.PASSED),)).files == ()

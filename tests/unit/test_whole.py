"""Plan, capture and record are judged only as a whole: what one of them lacks is a line and exit 3, never a pass."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.capture.marker import Edge
from harness.capture.tshark import one_pass
from harness.cell.trace_writer import PlanFile
from harness.cli.app import run_app
from harness.trace import trace_lines as plans
from harness.verify.closing import Closing
from harness.wsk.operations import Step
from tests.corpus import containers
from tests.corpus.story import SITE, STEPS, frames, marker, story

PLAN, CAPTURE = "operations.jsonl", "capture.pcapng"


@pytest.fixture(autouse=True)
def _no_tshark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "find", lambda: "")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cell_files(folder: Path, *closings: Closing, run: str = "r1") -> Path:
    """A plan and a capture of two cases, as a run leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CAPTURE).write_bytes(containers.pcapng(story(frames("sends"), frames("more"))))
    ends = closings or (Closing("sends"), Closing("more"))
    whole = plans.Plan(plans.Header(run, "linux", SITE.to_json()), STEPS, ends)
    (folder / PLAN).write_text("".join(f"{line}\n" for line in plans.lines(whole)))
    return folder


def a_run(root: Path, *names: str, digests: bool = True) -> Path:
    """A run's folder whose cells passed both cases."""
    cells = []
    for name in names or ("wine--e1000",):
        guest, nic, *driver = name.split("--")
        place = cell_files(root / "cells" / name)
        cell: dict[str, Any] = {
            "guest": guest,
            "nic": nic,
            "driver": "".join(driver),
            "status": "passed",
            "folder": f"cells/{name}",
            "cases": [{"id": "sends", "status": "passed"}, {"id": "more", "status": "passed"}],
        }
        if digests:
            files = {"folder": f"cells/{name}", "plan": digest(place / PLAN), "capture": digest(place / CAPTURE)}
            cell["files"] = [files]
        cells.append(cell)
    record = {"schema": 1, "run": {"id": "r1", "started": "2026-01-01T00:00:00+00:00", "ended": "x"}, "cells": cells}
    (root / "results.json").write_text(json.dumps(record))
    return root


def edit_record(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = root / "results.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_plan(folder: Path, change: Callable[[list[str]], list[str]], *, seal: bool = False) -> None:
    """Change the lines of a plan; ``seal`` makes its last line anew, as somebody who knows the format would."""
    path = folder / PLAN
    lines = change(path.read_text().splitlines())
    if seal:
        body = lines[:-1]
        digest_of_body = hashlib.sha256("".join(f"{line}\n" for line in body).encode()).hexdigest()
        lines = [*body, json.dumps({"end": {"lines": len(body), "sha256": digest_of_body}})]
    path.write_text("".join(f"{line}\n" for line in lines))


def without(case: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [line for line in lines if f'"case":"{case}"' not in line]


def replayed(root: Path, capsys: pytest.CaptureFixture[str], *, packed: bool = False) -> tuple[int, str]:
    if packed:
        assert run_app(["replay", str(root), "--pack", "-o", str(root / "run.zip")]) == 0
        capsys.readouterr()
    code = run_app(["replay", str(root / "run.zip" if packed else root)])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.mark.parametrize("packed", [False, True])
def test_a_whole_run_of_several_driver_builds_passes(
    packed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = a_run(tmp_path, "wine--e1000--old", "wine--e1000--new", "wine--vfio_0000_01_00.0")
    code, said = replayed(root, capsys, packed=packed)
    assert code == 0, said
    assert said.count("passed") == 3
    assert "proven" not in said


def test_a_case_struck_out_of_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path)
    cell = root / "cells/wine--e1000"
    edit_plan(cell, without("more"))
    code, said = replayed(root, capsys)
    assert code == 3
    assert "the record says passed of more, of which the plan says nothing" in said
    assert "the plan was changed after the run: its last line counts" in said
    assert "the capture holds the case more, of which the plan says nothing" in said
    assert "operations.jsonl is not the file that the run left" in said
    assert run_app(["verify", str(cell / CAPTURE), "--plan", str(cell / PLAN)]) == 3
    assert "the plan was changed after the run" in capsys.readouterr().out


@pytest.mark.parametrize("packed", [False, True])
def test_a_case_struck_out_of_plan_and_capture(
    packed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By somebody who makes the plan's last line anew, in a record of an older version without digests."""
    root = a_run(tmp_path, digests=False)
    cell = root / "cells/wine--e1000"
    edit_plan(cell, without("more"), seal=True)
    (cell / CAPTURE).write_bytes(containers.pcapng(story(frames("sends"), [])[:-3]))
    code, said = replayed(root, capsys, packed=packed)
    assert code == 3
    assert "the record says passed of more, of which the plan says nothing" in said
    assert "of an older version and holds no digests" in said


def test_a_case_struck_out_of_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path)
    edit_record(root, lambda value: value["cells"][0]["cases"].pop())
    code, said = replayed(root, capsys)
    assert code == 3
    assert "the plan holds the case more, of which the record says nothing" in said


def test_a_case_struck_out_of_the_plan_alone_by_one_who_knows_the_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = cell_files(tmp_path)
    edit_plan(cell, without("more"), seal=True)
    assert run_app(["verify", str(cell / CAPTURE), "--plan", str(cell / PLAN)]) == 3
    assert "the capture holds the case more, of which the plan says nothing" in capsys.readouterr().out


def test_a_case_of_which_only_the_end_is_left_in_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = cell_files(tmp_path)
    edit_plan(
        cell, lambda lines: [line for line in lines if '"case":"more"' not in line or "closing" in line], seal=True
    )
    (cell / CAPTURE).write_bytes(containers.pcapng(story(frames("sends"), [])[:-3]))
    assert run_app(["verify", str(cell / CAPTURE), "--plan", str(cell / PLAN)]) == 3
    assert "the case's markers are not in the capture" in capsys.readouterr().out


@pytest.mark.parametrize("bytes_kept", [-1, -40, -200, 5000])
def test_a_plan_that_was_cut(bytes_kept: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = cell_files(tmp_path)
    content = (cell / PLAN).read_bytes()
    (cell / PLAN).write_bytes(content[:bytes_kept])
    code = run_app(["verify", str(cell / CAPTURE), "--plan", str(cell / PLAN)])
    said = capsys.readouterr()
    if bytes_kept == -1:  # the line end alone says nothing
        assert code == 0
        return
    assert (code, said.err) == (3, "")
    assert "the plan has no last line: the run that wrote it did not come to its end, or the file was cut" in said.out


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [line.replace('"port":9000', '"port":9001') for line in lines],
        lambda lines: [*lines, lines[-2]],
        lambda lines: [*lines[:-2], lines[-1]],
        lambda lines: [*lines[:-1], lines[-2], lines[-1]],
        lambda lines: [*lines[:-1], '{"end":[]}'],
    ],
)
def test_a_plan_that_was_edited_is_no_pass(change: Callable[[list[str]], list[str]], tmp_path: Path) -> None:
    cell = cell_files(tmp_path)
    edit_plan(cell, change)
    assert run_app(["verify", str(cell / CAPTURE), "--plan", str(cell / PLAN)]) in (1, 3)


@pytest.mark.parametrize("gone", ["plan", "capture", "both", "record"])
def test_a_file_that_is_gone(gone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path, "wine--e1000", "wine--pcnet")
    cell = root / "cells/wine--pcnet"
    paths = {"plan": [cell / PLAN], "capture": [cell / CAPTURE], "record": [root / "results.json"]}
    for path in paths.get(gone, [cell / PLAN, cell / CAPTURE]):
        path.unlink()
    code, said = replayed(root, capsys)
    assert code == 3
    assert ("there is no record" if gone == "record" else "wine--pcnet") in said


def test_a_capture_that_was_changed_where_no_case_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path)
    path = root / "cells/wine--e1000" / CAPTURE
    path.write_bytes(containers.pcapng(story(frames("sends"), frames("more"))[:-1]))
    code, said = replayed(root, capsys)
    assert code == 3
    assert "capture.pcapng is not the file that the run left" in said


def test_a_capture_without_its_markers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path, digests=False)
    bare = containers.pcapng(story(frames("sends"), frames("more"), marked=False))
    (root / "cells/wine--e1000" / CAPTURE).write_bytes(bare)
    code, said = replayed(root, capsys)
    assert code == 3
    assert "the capture holds no markers" in said


def test_a_cell_struck_out_of_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path, "wine--e1000", "wine--pcnet")
    edit_record(root, lambda value: value["cells"].pop())
    code, said = replayed(root, capsys)
    assert code == 3
    assert "wine--pcnet: the record has no such cell" in said


def test_what_an_earlier_run_left_in_the_folder_is_named_and_left_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = a_run(tmp_path)
    cell_files(root / "cells/wine--pcnet", run="r0")
    code, said = replayed(root, capsys)
    assert code == 0
    assert "wine--pcnet: left there by another run, r0" in said


def test_a_run_that_did_not_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_run(tmp_path)
    edit_record(root, lambda value: value["run"].update(ended=""))
    code, said = replayed(root, capsys)
    assert code == 3
    assert "the run did not come to its end" in said


def test_a_case_that_was_run_again_counts_where_it_was_judged_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = a_run(tmp_path)
    first = cell_files(root / "cells/wine--e1000", Closing("sends"), Closing("more", failure="lost"))
    again = cell_files(root / "cells/wine--e1000--retry")

    def retried(value: dict[str, Any]) -> None:
        cell = value["cells"][0]
        cell["cases"][1]["earlier"] = [{"status": "failed", "folder": "cells/wine--e1000"}]
        cell["files"] = [
            {"folder": f"cells/{place.name}", "plan": digest(place / PLAN), "capture": digest(place / CAPTURE)}
            for place in (first, again)
        ]

    edit_record(root, retried)
    edit_plan(again, without("sends"), seal=True)
    (again / CAPTURE).write_bytes(containers.pcapng([*story([], frames("more"))[:1], *story([], frames("more"))[3:]]))
    edit_record(root, retried)
    code, said = replayed(root, capsys)
    assert code == 0, said

    def older(value: dict[str, Any]) -> None:
        value["cells"][0].pop("files")
        value["cells"][0]["evidence"] = {"retry": "../../cells/wine--e1000--retry/capture.pcapng"}

    edit_record(root, older)
    code, said = replayed(root, capsys)
    assert code == 0, "of an older version, which names the attempt's folder only: " + said
    (again / PLAN).unlink()
    assert replayed(root, capsys)[0] != 0


def test_the_plan_of_a_running_cell_ends_with_count_and_digest(tmp_path: Path) -> None:
    with PlanFile(tmp_path / PLAN, plans.Header("r1", "linux", SITE.to_json())) as plan:
        events: list[Step | Closing] = [*STEPS, Closing("sends"), Closing("more", failure="\u00e9 \u2028")]
        for event in events:
            plan.add(event)
        unsealed = (tmp_path / PLAN).read_text(encoding="utf-8")
    read = plans.parse((tmp_path / PLAN).read_text(encoding="utf-8").split("\n"))
    assert (read.steps, read.doubts) == (STEPS, ())
    assert plans.parse(unsealed.split("\n")[:-1] or [plans.header_line(plans.Header("r", "linux"))]).doubts == (
        plans.CUT,
    )


def test_a_plan_that_was_cut_inside_a_character(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = cell_files(tmp_path, Closing("sends"), Closing("more", skipped="\u65e5"))
    content = (cell / PLAN).read_bytes()
    (cell / PLAN).write_bytes(content[: content.index("\u65e5".encode()) + 1])
    assert run_app(["verify", str(cell / CAPTURE), "--plan", str(cell / PLAN)]) == 3
    assert "the plan has no last line" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["x" * 1200, "\u65e5" * 400])
def test_a_case_with_a_name_that_markers_cut(name: str, tmp_path: Path) -> None:
    cell = cell_files(tmp_path)
    steps = [replace(step, case=name) for step in STEPS if step.case == "sends"]
    plan = plans.Plan(plans.Header("r1", "linux", SITE.to_json()), tuple(steps), (Closing(name),))
    (cell / PLAN).write_text("".join(f"{line}\n" for line in plans.lines(plan)))
    made = [marker(1, Edge.START, 1, name), *frames("sends"), marker(1, Edge.END, 2, name)]
    (cell / CAPTURE).write_bytes(containers.pcapng([containers.Record(data) for data in made]))
    assert run_app(["verify", str(cell / CAPTURE), "--plan", str(cell / PLAN)]) == 0


@pytest.mark.parametrize("change", [lambda text: b"\xef\xbb\xbf" + text, lambda text: text.replace(b"\n", b"\r\n")])
def test_an_editor_that_changes_no_line_changes_no_verdict(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    cell = cell_files(tmp_path)
    (cell / PLAN).write_bytes(change((cell / PLAN).read_bytes()))
    assert run_app(["verify", str(cell / CAPTURE), "--plan", str(cell / PLAN)]) == 0


def test_an_older_plan_is_read_and_is_said_to_prove_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = cell_files(tmp_path)
    edit_plan(cell, lambda lines: [lines[0].replace('"schema":3', '"schema":2'), *lines[1:-1]])
    assert run_app(["verify", str(cell / CAPTURE), "--plan", str(cell / PLAN)]) == 0
    assert "note: the plan's version has no count and digest of its lines" in capsys.readouterr().out

"""The reports made from a record: JUnit, page and table tell the same, and escape what a run brought."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from harness.cell.events import Collected, Phase
from harness.cell.job import Cell
from harness.history.store import opened
from harness.report import html, junit, table
from harness.report.progress import Watcher
from harness.results.record import CaseResult, CellResult, Results, RunInfo
from harness.results.status import Status
from harness.verify.verdict import Finding, Verdict

FINDING = Finding(Verdict.ALTERED, 7, 3, "udp.dstport", "9000", "10275", "<b>expected</b>\nseen [red]")
BAD = CaseResult("t/test_sizes.py::test_a[1]", Status.FAILED, "port <swapped> [bold]", 0.5, findings=(FINDING,))
GOOD = CaseResult("t/test_sizes.py::test_b", Status.PASSED)
SKIPPED = CaseResult("t/test_other.py::test_c", Status.SKIPPED, "no such NIC")
LOST = CaseResult("t/test_other.py::test_d", Status.INCONCLUSIVE, "frames were lost")
RESULTS = Results(
    RunInfo("r1", "2026-01-02T03:04:05+00:00", "2026-01-02T03:05:05+00:00", {"cores": "2"}, {"qemu": "7.2"}),
    (
        CellResult("wine", "virtio-net", Status.PASSED, cases=(GOOD,), timings={"total": 12.5}, folder="cells/a"),
        CellResult("wine", "e1000", Status.FAILED, cases=(BAD, GOOD, SKIPPED, LOST), evidence={"log": "x.log"}),
        CellResult("wine", "rtl8139", Status.INCONCLUSIVE, "guest \x00 never came up", fault="lab", detail="panic <x>"),
    ),
)


def printed(results: Results, folder: Path | None = None) -> str:
    out = io.StringIO()
    table.show(results, Console(file=out, width=100, no_color=True), folder)
    return out.getvalue()


class Page(HTMLParser):
    """Collects what the tests ask of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if values.get("id"):
            self.ids.add(str(values["id"]))
        for name in ("href", "src"):
            if values.get(name):
                self.links.add(str(values[name]))


def test_junit_has_every_case_with_its_outcome() -> None:
    suites = ET.fromstring(junit.render(RESULTS).encode())
    by_name = {suite.get("name"): suite for suite in suites}
    bad = by_name["wine--e1000"]
    assert (bad.get("tests"), bad.get("failures"), bad.get("errors"), bad.get("skipped")) == ("4", "1", "1", "1")
    failure = bad.find("testcase[@name='test_a[1]']/failure")
    assert failure is not None
    assert failure.get("message") == "port <swapped> [bold]"
    assert "expected 9000, seen 10275" in (failure.text or "")


def test_junit_tells_driver_builds_apart() -> None:
    cells = tuple(replace(RESULTS.cells[0], driver=driver) for driver in ("old", "new"))
    suites = ET.fromstring(junit.render(Results(RESULTS.run, cells)).encode())
    assert [suite.get("name") for suite in suites] == ["wine--virtio-net--old", "wine--virtio-net--new"]
    assert [case.get("classname") for case in suites.iter("testcase")] == [
        "wine.virtio-net.old.test_sizes",
        "wine.virtio-net.new.test_sizes",
    ]


def test_a_cell_without_a_driver_changes_no_other_ones_name() -> None:
    cells = (replace(RESULTS.cells[0], driver="my.sys"), CellResult("wine", "pcnet", Status.SKIPPED, "not here"))
    suites = ET.fromstring(junit.render(Results(RESULTS.run, cells)).encode())
    assert [suite.get("name") for suite in suites] == ["wine--virtio-net", "wine--pcnet"]


def test_junit_tells_of_a_cell_that_had_no_cases() -> None:
    suites = ET.fromstring(junit.render(RESULTS).encode())
    error = suites.find("testsuite[@name='wine--rtl8139']/testcase/error")
    assert error is not None
    assert "never came up" in (error.get("message") or "")


def data_of(text: str) -> Any:  # noqa: ANN401
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_page_is_self_contained() -> None:
    text = html.render(RESULTS)
    page = Page(text)
    assert not [link for link in page.links if not link.startswith("#")]
    assert "default-src 'none'" in text, "nothing may be loaded"
    assert "b" not in page.tags, "text from a run became markup"
    assert page.tags.count("script") == 2


def test_no_text_of_a_run_ends_the_pages_script() -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    cell = CellResult("wine", evil, Status.FAILED, evil, cases=(CaseResult(f"t.py::{evil}", Status.FAILED, evil),))
    text = html.render(Results(RESULTS.run, (cell,)))
    assert "img" not in Page(text).tags
    assert data_of(text)["cells"][0]["nic"] == evil


def test_page_holds_every_case_once_and_passes_in_few_bytes() -> None:
    data = data_of(html.render(RESULTS))
    assert [cell["nic"] for cell in data["cells"]] == ["virtio-net", "e1000", "rtl8139"]
    assert [len(rows) for rows in data["cases"]] == [1, 4, 0]
    test, status, seconds, _, _, more = data["cases"][1][0]
    assert (data["tests"][test][0], data["statuses"][status], seconds) == (BAD.id, "failed", 0.5)
    assert more["findings"][0]["expected"] == "9000"
    assert len(data["cases"][0][0]) == 5


def test_page_shows_trends_where_there_is_a_history(tmp_path: Path) -> None:
    with opened(tmp_path / "history.sqlite", lambda _: None) as history:
        history.add(RESULTS)
        data = data_of(html.render(RESULTS, history))
    assert [row[1] for since in data["history"]["failing"] for row in since["rows"]] == [BAD.id]
    assert data_of(html.render(RESULTS))["history"] is None


def test_page_quotes_the_console_of_what_did_not_pass(tmp_path: Path) -> None:
    cell = replace(RESULTS.cells[1], folder="cells/b", evidence={"console": "console.log"})
    (tmp_path / "cells" / "b").mkdir(parents=True)
    (tmp_path / "cells" / "b" / "console.log").write_text("boot\n" * 500 + "panic \x1b[31m now\n")
    text = html.write(Results(RESULTS.run, (cell,)), tmp_path).read_text()
    console = data_of(text)["cells"][0]["console"]
    assert console.endswith("panic [31m now")
    assert len(console.splitlines()) == html.CONSOLE_LINES


def test_what_makes_a_failure_plain_is_on_the_page_and_in_junit() -> None:
    plain = "  > ip.ttl  64  7\n<tshark says>"
    case = CaseResult("test_a.py::test_x", Status.FAILED, "altered", explained=(plain,))
    told = Results(RESULTS.run, (CellResult("wine", "e1000", Status.FAILED, cases=(case,)),))
    assert data_of(html.render(told))["cases"][0][0][5]["explained"] == [plain]
    assert plain in (ET.fromstring(junit.render(told).encode()).findtext(".//failure") or "")


def test_page_shows_what_went_wrong() -> None:
    text = html.render(RESULTS)
    for part in ("udp.dstport expected 9000, seen 10275", "panic &lt;x&gt;", "no such NIC", "frames were lost", "7.2"):
        assert part in text


def test_table_has_groups_by_nic_and_names_the_failure() -> None:
    text = printed(RESULTS, Path("/out"))
    assert "virtio-net" in text
    assert "1 of 2 failed" in text
    assert "failed e1000: t/test_sizes.py::test_a[1]: port <swapped> [bold]" in text
    assert "3 passed" not in text
    assert "2 passed, 1 failed, 1 inconclusive, 1 skipped, 1 cell without an end" in text
    assert "report: /out/index.html" in text


def test_cells_that_do_not_fit_side_by_side_stand_below_each_other() -> None:
    nics = [f"virtio-net+mtu={number}" for number in range(2000, 9000, 1000)]
    some = [CellResult("wine", nic, Status.PASSED, cases=(GOOD,), driver="a.sys") for nic in nics]
    bad = CellResult("wine", "e1000", Status.FAILED, cases=(BAD, GOOD, LOST), driver="b.sys", timings={"total": 2.5})
    lines = printed(Results(RESULTS.run, (*some, bad))).splitlines()
    assert lines[2].split() == ["virtio-net+mtu=2000", "x", "a.sys", "1", "-", "-", "passed", "0.0"]
    assert lines[9].split() == ["e1000", "x", "b.sys", "1", "1", "1", "failed", "2.5"]
    assert all("…" not in line for line in lines[:10])


def test_table_of_nothing_does_not_look_like_a_pass() -> None:
    assert "nothing was run" in printed(Results(RESULTS.run, ()))


def test_a_mistake_of_the_user_is_shown_as_one() -> None:
    cell = CellResult("wine", "e1000", Status.INCONCLUSIVE, "no test is selected in t; check -k", fault="user")
    text = printed(Results(RESULTS.run, (cell,)))
    assert "usage wine x e1000: no test is selected in t; check -k" in text
    assert "inconclusive" not in text
    assert "without an end" not in text
    out = io.StringIO()
    with Watcher(Console(file=out, force_terminal=False)) as watcher:
        watcher.observe(Cell("wine", "e1000"), cell)
    assert "e1000: usage" in out.getvalue()


def test_progress_off_a_terminal_is_plain_lines() -> None:
    out = io.StringIO()
    cell = Cell("wine", "e1000")
    with Watcher(Console(file=out, force_terminal=False, width=40)) as watcher:
        watcher.say("building [the] image")
        watcher.observe(cell, Phase("boot"))
        watcher.observe(cell, Phase("boot", 3.25))
        watcher.observe(cell, Collected(2))
        watcher.observe(cell, BAD)
        watcher.observe(cell, RESULTS.cells[2])
    lines = out.getvalue().splitlines()
    told = [line.split(" s ", 1)[1] for line in lines]
    assert told[0] == "building [the] image"
    assert told[1] == "wine x e1000: boot done in 3.2 s"
    assert told[2] == "wine x e1000: failed t/test_sizes.py::test_a[1]: port <swapped> [bold]"
    assert "never came up" in told[3]
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(
    ("started", "ended", "said"),
    [
        ("2026-11-26T02:53:54+00:00", "2026-11-26T02:58:19+00:00", "2026-11-26 02:53:54 UTC, 4 min 25 s"),
        ("2026-11-26T03:53:54+01:00", "2026-11-26T04:53:59+00:00", "2026-11-26 02:53:54 UTC, 2 h 0 min 5 s"),
        ("2026-11-26T02:53:54+00:00", "2026-11-26T02:53:55+00:00", "2026-11-26 02:53:54 UTC, 1 s"),
        ("2026-11-26T02:53:54+00:00", "", "2026-11-26 02:53:54 UTC, nobody knows how long"),
        ("", "", "nobody knows when"),
    ],
)
def test_when_a_run_was(started: str, ended: str, said: str) -> None:
    assert html.when(RunInfo("r", started, ended)) == said


def test_the_trend_of_a_case_is_not_that_of_one_whose_name_begins_alike(tmp_path: Path) -> None:
    other = replace(GOOD, id=f"{BAD.id}-ipv6")
    run = Results(RESULTS.run, (CellResult("wine", "e1000", Status.FAILED, cases=(BAD, other)),))
    with opened(tmp_path / "history.sqlite", lambda _: None) as history:
        history.add(run)
        data = data_of(html.render(run, history))
    assert [(trend[0], trend[4]) for trend in data["history"]["trends"]] == [(BAD.id, "failed")]


def test_many_cases_that_are_alike_take_one_line_on_the_terminal() -> None:
    bad = tuple(replace(BAD, id=f"t/test_sizes.py::test_a[{size}]", reason=f"port {size}") for size in range(30))
    lost = tuple(replace(LOST, id=f"t/test_other.py::test_{number}") for number in range(25))
    cells = [CellResult("wine", nic, Status.FAILED, cases=(*lost, *bad)) for nic in ("e1000", "pcnet")]
    lines = [
        line for line in printed(Results(RESULTS.run, tuple(cells))).splitlines() if " t/" in line or "more" in line
    ]
    assert lines[0] == "failed e1000, pcnet: t/test_sizes.py::test_a (30 cases): port 0"
    assert lines[1] == "inconclusive e1000, pcnet: t/test_other.py::test_0: frames were lost"
    assert lines[-1] == "inconclusive ... and 10 more cases, in the report"
    assert len(lines) == 1 + 20 + 1

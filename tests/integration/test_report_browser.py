"""The page in a real browser: it draws, it answers clicks and keys, and ten thousand cases do not make it slow."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import cast

import pytest

from harness.history.store import opened
from harness.report import html
from harness.report.results import CaseResult, CellResult, Results, RunInfo
from harness.report.status import Status, worst
from harness.verify.verdict import Finding, Verdict

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium: apt-get install chromium")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=20000"),
)


def results(cells: int, cases: int) -> Results:
    made = []
    for nic in range(cells):
        rows = []
        for number in range(cases):
            bad = number % 97 == nic
            finding = Finding(Verdict.ALTERED, number, number, "udp.dstport", "9000", "10275", "left | right")
            rows.append(
                CaseResult(
                    f"suite/test_group{number % 12}.py::test_case[{number}]",
                    Status.FAILED if bad else Status.PASSED,
                    "port swapped" if bad else "",
                    0.01,
                    findings=(finding,) if bad else (),
                )
            )
        status = worst(row.status for row in rows)
        made.append(CellResult("wine", f"nic{nic}", status, cases=tuple(rows), timings={"boot": 2.0, "total": 9.0}))
    return Results(RunInfo("r1", "2026-01-01T00:00:00+00:00", "x"), tuple(made))


def asked(page: Path, script: str, profile: Path) -> dict[str, object]:
    """Run a script in the page that puts its answer into the title."""
    text = page.read_text()
    at = text.rindex("</body>")
    answer = f"<script>document.title = JSON.stringify((() => {{ {script} }})())</script>"
    page.write_text(text[:at] + answer + text[at:])
    assert BROWSER is not None
    argv = [BROWSER, *QUIET, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert found is not None
    value: dict[str, object] = json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&"))
    return value


def test_the_page_draws_and_answers(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text(html.render(results(3, 120)))
    seen = asked(
        page,
        """
        const tiles = document.querySelectorAll(".matrix tbody button");
        const labels = [...tiles].every(tile => tile.getAttribute("aria-label"));
        const first = document.querySelector(".tile.failed:not(.total)"); first.focus(); first.click();
        first.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
        const moved = document.activeElement !== first && document.activeElement.classList.contains("tile");
        document.querySelector("#panel .rows button").click();
        const sides = document.querySelector(".sides").textContent;
        const chips = document.querySelectorAll(".case .chips button").length;
        document.getElementById("tab-Differences").click();
        const differences = document.querySelectorAll("main h3").length;
        for (const tab of document.querySelectorAll("[role=tab]")) tab.click();
        document.getElementById("theme").click();
        const theme = document.documentElement.dataset.theme;
        return { tiles: tiles.length, labels, moved, sides, chips, differences, theme };
        """,
        tmp_path / "profile",
    )
    assert (seen["tiles"], seen["labels"], seen["moved"], seen["chips"]) == (3 * 13, True, True, 3)
    assert "9000" in str(seen["sides"])
    assert "10275" in str(seen["sides"])
    assert seen["differences"] == 3
    assert seen["theme"] in ("dark", "light")


def test_cases_that_fail_alike_are_one_row_and_one_line_of_the_history(tmp_path: Path) -> None:
    def cell(nic: str) -> CellResult:
        finding = Finding(Verdict.ALTERED, 1, 2, "udp.dstport", "9000", "10275")
        cases = [CaseResult(f"suite/t.py::test_port[{port}]", Status.FAILED, findings=(finding,)) for port in range(4)]
        lost = CaseResult("suite/t.py::test_lost", Status.INCONCLUSIVE, "frames were lost")
        return CellResult("wine", nic, Status.FAILED, cases=(*cases, lost), versions={"driver": "b2"})

    run = Results(RunInfo("r7", "2026-01-01T00:00:00+00:00", "x"), tuple(map(cell, ("e1000", "pcnet", "rtl8139"))))
    page = tmp_path / "index.html"
    with opened(tmp_path / "history.sqlite", pytest.fail) as history:
        history.add(run)
        page.write_text(html.render(run, history))
    seen = asked(
        page,
        """
        const rows = [...document.querySelectorAll("#panel > div > .rows > li > button")];
        const told = rows.map(row => row.textContent);
        rows[0].click();
        const members = rows[0].nextElementSibling.querySelectorAll(":scope li button");
        members[0].click();
        const sides = rows[0].nextElementSibling.querySelector(".sides").textContent;
        rows[0].click();
        const closed = rows[0].nextElementSibling === null;
        document.getElementById("tab-Trends").click();
        const since = [...document.querySelectorAll("main details")].map(section => section.textContent);
        return { told, members: members.length, sides, closed, since };
        """,
        tmp_path / "profile",
    )
    assert [str(row).split("altered")[0] for row in cast("list[str]", seen["told"])] == [
        "\u2717 failede1000, pcnet, rtl8139: test_port (4 cases)",
        "? inconclusivee1000, pcnet, rtl8139: test_lostframes were lost3 in all",
    ]
    assert (seen["members"], seen["closed"]) == (12, True)
    assert "10275" in str(seen["sides"])
    (since,) = cast("list[str]", seen["since"])
    assert since.startswith("since r7: 12 failingbuild b2, never seen to pass, 1 run in a row")
    assert "e1000, pcnet, rtl8139suite/t.py::test_port (4 cases)altered udp.dstport" in since


def test_ten_thousand_cases_without_lag(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text(html.render(results(10, 1000)))
    assert page.stat().st_size < 3_000_000
    seen = asked(
        page,
        """
        const took = {};
        for (const name of ["Cases", "Differences", "Timings", "Matrix"]) {
          const begun = performance.now();
          document.getElementById("tab-" + name).click();
          document.body.getBoundingClientRect();
          took[name] = performance.now() - begun;
        }
        document.getElementById("tab-Cases").click();
        const search = document.querySelector("input[type=search]"); search.value = "case[99";
        const begun = performance.now();
        search.dispatchEvent(new Event("input")); document.body.getBoundingClientRect();
        took.search = performance.now() - begun;
        took.count = document.querySelector("[role=status]").textContent;
        return took;
        """,
        tmp_path / "profile",
    )
    assert seen.pop("count") == "110 of 10000 cases"
    assert all(isinstance(value, float | int) and value < 1000 for value in seen.values()), seen
    print(seen)

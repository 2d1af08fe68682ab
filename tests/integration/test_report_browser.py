"""The page in a real browser: it draws, it answers clicks and keys, and ten thousand cases do not make it slow."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import cast

import pytest

from harness.history.store import opened
from harness.report import html
from harness.results.record import Attempt, CaseResult, CellResult, Results, RunInfo
from harness.results.status import Status, worst
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


def asked(page: Path, script: str, profile: Path, fragment: str = "") -> dict[str, object]:
    """Run a script in the page that puts its answer into the title; the page's policy lets it in by its hash."""
    text = page.read_text()
    at = text.rindex("</body>")
    answer = f"document.title = JSON.stringify((() => {{ {script} }})())"
    digest = base64.b64encode(hashlib.sha256(answer.encode()).digest()).decode()
    text = text[:at] + f"<script>{answer}</script>" + text[at:]
    page.write_text(text.replace("script-src ", f"script-src 'sha256-{digest}' ", 1))
    assert BROWSER is not None
    argv = [BROWSER, *QUIET, f"--user-data-dir={profile}", "--dump-dom", page.as_uri() + fragment]
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


@pytest.mark.parametrize("fragment", ["#Cases", "#constructor", "#__proto__", "#%", "#%ff", "#nothing", "#toString"])
def test_no_fragment_leaves_the_page_blank(fragment: str, tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text(html.render(results(2, 20)))
    seen = asked(
        page,
        """
        const tab = document.querySelector("[role=tab][aria-selected=true]");
        return { tab: tab && tab.textContent, length: document.querySelector("main").textContent.length };
        """,
        tmp_path / "profile",
        fragment,
    )
    assert seen["tab"] == ("Cases" if fragment == "#Cases" else "Matrix")
    assert cast("int", seen["length"]) > 20


HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><a href='javascript:alert(1)'>x</a>"


def test_what_a_record_says_is_text(tmp_path: Path) -> None:
    """Not even what is put into the page by its author's hand runs: the policy lets in the page's own script only."""
    case = CaseResult(
        HOSTILE,
        Status.FAILED,
        HOSTILE,
        evidence={"frames": "1-2"},
        earlier=(Attempt(Status.FAILED, HOSTILE, folder="javascript:alert(1)//"),),
    )
    evidence = {"capture": "javascript:alert(1)", "constructor": "c.log", "log": "a b.log", "page": "x.html"}
    cells = [
        CellResult("wine", nic, Status.FAILED, cases=(case,), folder=folder, evidence=evidence, timings={name: 1.0})
        for nic, folder, name in (
            ("javascript:alert(1)", "javascript:alert(1)//x", "constructor"),
            ("e1000", "cells/wine--e1000", "__proto__"),
        )
    ]
    page = tmp_path / "index.html"
    page.write_text(html.render(Results(RunInfo("r1", "x", host={"name": HOSTILE}), tuple(cells))))
    text = page.read_text()
    page.write_text(text.replace("</body>", "<script>window.strange = 1</script></body>"))
    seen = asked(
        page,
        """
        const links = new Set();
        const told = link => link.getAttribute("href") + (link.hasAttribute("download") ? " (download)" : "");
        const look = () => { for (const link of document.querySelectorAll("a")) links.add(told(link)); };
        for (const tile of document.querySelectorAll(".matrix button")) { tile.click(); look(); }
        for (const button of document.querySelectorAll("button.row, .rows button")) { button.click(); look(); }
        let drawn = 0;
        for (const tab of document.querySelectorAll("[role=tab]")) {
          tab.click(); look();
          drawn += document.querySelector("main").textContent.length > 10;
          for (const button of document.querySelectorAll("main .rows button")) { button.click(); look(); }
        }
        return { links: [...links], images: document.querySelectorAll("img").length, strange: window.strange, drawn };
        """,
        tmp_path / "profile",
    )
    assert (seen["images"], seen.get("strange"), seen["drawn"]) == (0, None, 6)
    names = ("c.log", "a%20b.log", "x.html (download)")
    assert set(cast("list[str]", seen["links"])) == {f"cells/wine--e1000/{name}" for name in names}


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

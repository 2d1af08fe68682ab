"""The table of defects fits the driver, and what the verifier logs becomes findings that name a defect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness import resources
from harness.accept.steps import NO_UNLOAD
from harness.driver_build.edited import Edit
from harness.driver_verifier import findings as verifier
from harness.driver_verifier.rules import RULES
from harness.errors import UsageError
from harness.results.record import CaseResult, CellResult
from harness.results.status import Status
from harness.selftest.defects import table
from harness.selftest.defects.judge import judge, named
from harness.verify.verdict import Finding, Verdict

DEFECTS = table.load()
SOURCES = resources.root() / "drivers"


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.id)
def test_every_edit_fits_the_driver(defect: table.Defect) -> None:
    sources = {path.name: path.read_text() for path in (SOURCES / "wsksend").glob("*.[ch]")}
    for edit in defect.edits:
        changed = edit.apply(sources[edit.file])
        assert changed != sources[edit.file]
        sources[edit.file] = changed


def test_the_driver_that_stays_in_windows_is_the_no_unload_of_the_table() -> None:
    (defect,) = table.chosen(DEFECTS, "no-unload")
    assert defect.edits == (NO_UNLOAD,)


def test_every_verifier_verdict_that_is_expected_is_a_rule() -> None:
    codes = {word.split(":")[1] for defect in DEFECTS for word in defect.expects if word.startswith("verifier:")}
    assert codes <= set(RULES)


def test_every_code_in_the_verifiers_source_is_a_rule_and_back() -> None:
    text = "".join(path.read_text() for path in (SOURCES / "verifier").glob("*.c"))
    assert [code for code in RULES if f'"{code}"' not in text] == []


def test_an_edit_that_does_not_fit_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="0 times 'gone'"):
        Edit("send.c", "gone", "").apply("here")


def test_lines_of_the_log_become_findings_each_place_once() -> None:
    log = "1\tattached\t0\t23 imports\t\n2\tirp-leak\t1f0\t3 of 280 bytes\t\n3\tirp-leak\t1f0\tagain\t\nhalf a li"
    (found,) = verifier.findings(verifier.parse(log), verifier.Symbols(Path("/nowhere")))
    assert (found.verdict, found.field) == ("verifier", "irp-leak")
    assert found.seen == "3 of 280 bytes at +0x1f0, 2 times"


def test_a_defect_is_caught_only_by_its_name() -> None:
    case = CaseResult("t.py::a", Status.FAILED, "x", findings=(Finding(Verdict.ALTERED, field="udp.payload[3]"),))
    result = CellResult("wine", "e1000", Status.FAILED, cases=(case,))
    defect = replace(DEFECTS[0], expects=("altered:udp.payload",), survives=())
    assert named(defect.expects, [case])[1] == "t.py::a"
    assert judge(defect, result, 1.0).caught
    wrong = judge(replace(defect, expects=("missing:datagram",)), result, 1.0)
    assert (wrong.caught, wrong.why) == (False, "named wrongly")
    missed = judge(defect, replace(result, status=Status.PASSED, cases=(replace(case, status=Status.PASSED),)), 1.0)
    assert (missed.caught, missed.why) == (False, "missed")

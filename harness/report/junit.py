"""Renders ``junit.xml``, which CI systems read: a suite per cell and a class per case group."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from harness.files.removal import write_whole
from harness.printable import line, xml
from harness.results.record import CaseResult, CellResult, Results
from harness.results.status import Status

FILE_NAME = "junit.xml"


def render(results: Results) -> str:
    """Return the XML text. An inconclusive case becomes JUnit's ``error``: the test could not be judged."""
    suites = ET.Element("testsuites", name=line(f"harness {results.run.id}"))
    for cell, names in zip(results.cells, results.titles(), strict=True):
        suites.append(_suite(cell, names, results.run.started))
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def write(results: Results, folder: Path) -> Path:
    """Write ``junit.xml`` into the run's folder."""
    return write_whole(folder / FILE_NAME, render(results))


def _suite(cell: CellResult, names: tuple[str, ...], started: str) -> ET.Element:
    cases = [_case(names, case) for case in cell.cases]
    if cell.fault or not cell.cases:  # no case carries an error of the cell itself
        cases.append(_case(names, CaseResult("cell", cell.status, cell.reason, group="cell")))
    suite = ET.Element(
        "testsuite",
        name=line("--".join(names)),
        timestamp=line(started[:19]),
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time=f"{sum(case.seconds for case in cell.cases):.3f}",
    )
    suite.extend(cases)
    return suite


def _case(names: tuple[str, ...], case: CaseResult) -> ET.Element:
    classname = ".".join((*names, case.group))
    element = ET.Element("testcase", classname=line(classname), name=line(case.name), time=f"{case.seconds:.3f}")
    tag = {Status.FAILED: "failure", Status.INCONCLUSIVE: "error", Status.SKIPPED: "skipped"}.get(case.status)
    if tag:
        verdict = ET.SubElement(element, tag, message=line(case.reason or str(case.status)))
        if tag != "skipped":
            verdict.set("type", str(case.status))
            lines = [part for finding in case.findings for part in (finding.line(detail=False), finding.detail) if part]
            verdict.text = xml("\n".join((*lines, *case.explained))) or None
    return element

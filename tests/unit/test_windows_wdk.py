"""The WDK projects name every source, warn as strictly as the other build, and the sources are plain C11."""

from __future__ import annotations

import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness import resources
from tests.unit.windows_kit import need

NS = "{http://schemas.microsoft.com/developer/msbuild/2003}"
DRIVERS = resources.root() / "drivers"


@pytest.fixture(params=["wsksend", "wskctl"])
def project(request: pytest.FixtureRequest) -> Path:
    name: str = request.param
    return DRIVERS / name / f"{name}.vcxproj"


def included(root: ET.Element, kind: str) -> set[str]:
    return {item.get("Include", "").replace("\\", "/") for item in root.iter(f"{NS}{kind}")}


def test_every_source_is_built_and_every_header_is_there(project: Path) -> None:
    root = ET.parse(project).getroot()
    assert included(root, "ClCompile") - {""} == {path.name for path in project.parent.glob("*.c")}
    headers = included(root, "ClInclude")
    assert {path.name for path in project.parent.glob("*.h")} <= headers
    assert all((project.parent / header).is_file() for header in headers)


def test_warnings_are_errors_and_the_project_says_that_nobody_built_it(project: Path) -> None:
    root = ET.parse(project).getroot()
    assert root.find(f".//{NS}WarningLevel").text == "Level4"  # type: ignore[union-attr]
    assert root.find(f".//{NS}TreatWarningAsError").text == "true"  # type: ignore[union-attr]
    assert "NOT YET BUILT" in project.read_text()


def test_sources_are_plain_c_that_either_compiler_takes(project: Path) -> None:
    """ISO C11 without extensions, by mingw's pedantic mode; system headers do not count."""
    need("x86_64-w64-mingw32-gcc")
    kernel = project.stem == "wsksend"
    flags = ["-std=c11", "-Wpedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-D_WIN32_WINNT=0x0A00"]
    headers = ["-isystem", "/usr/share/mingw-w64/include/ddk", "-D_AMD64_"] if kernel else []
    sources = sorted(str(path) for path in project.parent.glob("*.c"))
    command = ["x86_64-w64-mingw32-gcc", *flags, *headers, f"-I{DRIVERS / 'include'}", *sources]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr

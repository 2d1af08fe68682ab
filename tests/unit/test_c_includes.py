"""The C sources' structure: each header stands alone, includes and calls go one way, every function says its IRQL."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from harness import resources
from harness.driver_build import build

DRIVERS = resources.root() / "drivers"
FOLDERS = ("wsksend", "netio", "verifier", "wskctl")
LONGEST = 120
_INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)
Graph = Mapping[str, Iterable[str]]


def files(folder: str, suffix: str) -> list[Path]:
    return sorted((DRIVERS / folder).glob(f"*{suffix}"))


def circle(graph: Graph) -> list[str]:
    """The nodes of one circle of a graph, in order; empty when there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def includes(paths: Iterable[Path]) -> dict[str, set[str]]:
    """For each file's name the quoted headers that it includes."""
    return {path.name: set(_INCLUDE.findall(path.read_text())) for path in paths}


def modules(folder: str) -> dict[str, set[str]]:
    """For each module (a header with its source) the modules of its folder that it includes."""
    names = {path.stem for path in files(folder, ".[ch]")}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for name, headers in includes(files(folder, ".[ch]")).items():
        module = Path(name).stem
        graph[module] |= {Path(header).stem for header in headers} & names - {module}
    return graph


def flags(folder: str) -> list[str]:
    common = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-D_WIN32_WINNT=0x0A00"]
    kernel = [*build._KERNEL_COMPILE, *build._kernel_headers()] if folder != "wskctl" else []
    return [*common, f"-I{DRIVERS / 'include'}", f"-I{DRIVERS / folder}", *kernel]


def compiled(source: Path, into: Path) -> Path:
    made = into / f"{source.stem}.o"
    command = [build.COMPILER, *flags(source.parent.name), "-c", "-o", str(made), str(source)]
    subprocess.run(command, check=True)
    return made


def symbols(made: Path, *which: str) -> set[str]:
    nm = build.COMPILER.replace("gcc", "nm")
    run = subprocess.run([nm, *which, "--format=posix", str(made)], capture_output=True, text=True, check=True)
    return {line.split()[0] for line in run.stdout.splitlines()}


def test_a_circle_is_found() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == {"b", "c"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_headers_include_each_other_in_no_circle(folder: str) -> None:
    headers = [*files(folder, ".h"), *files("include", ".h")]
    assert circle(includes(headers)) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_modules_include_each_other_in_no_circle(folder: str) -> None:
    """What a source needs of another it includes, so no circle here means that the calls go one way as well."""
    assert circle(modules(folder)) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_sources_use_each_other_in_no_circle(folder: str, tmp_path: Path) -> None:
    """By the symbols of the object files, so that a declaration outside the headers hides nothing."""
    defined: dict[str, str] = {}
    wanted: dict[str, set[str]] = {}
    for source in files(folder, ".c"):
        made = compiled(source, tmp_path)
        wanted[source.stem] = symbols(made, "--undefined-only")
        defined |= dict.fromkeys(symbols(made, "--defined-only", "--extern-only"), source.stem)
    graph = {name: {defined[each] for each in names if each in defined} for name, names in wanted.items()}
    assert circle(graph) == []


@pytest.mark.parametrize("folder", ["include", *FOLDERS])
def test_every_header_compiles_by_itself(folder: str, tmp_path: Path) -> None:
    sources = []
    for header in files(folder, ".h"):
        sources.append(tmp_path / f"{header.stem}.c")
        sources[-1].write_text(f'#include "{header.name}"\n')
    run = subprocess.run(
        [build.COMPILER, *flags(folder), "-fsyntax-only", *map(str, sources)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_source_includes_its_own_header_first(folder: str) -> None:
    """So that the compiler proves the header whole, and holds declaration and definition against each other."""
    for path in files(folder, ".c"):
        if path.with_suffix(".h").is_file():
            assert _INCLUDE.findall(path.read_text())[0] == f"{path.stem}.h", path.name


@pytest.mark.parametrize("folder", ["include", *FOLDERS])
def test_no_line_is_longer_than_120_columns(folder: str) -> None:
    long = [
        f"{path.name}:{number}"
        for path in files(folder, ".[ch]")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > LONGEST
    ]
    assert long == []


@pytest.mark.parametrize("folder", ["wsksend", "netio", "verifier"])
def test_every_function_says_at_which_irql_it_may_be_called(folder: str) -> None:
    """A definition has its IRQL, or takes it over from its header with _Use_decl_annotations_."""
    for path in files(folder, ".c"):
        text = path.read_text()
        for match in re.finditer(r"^(?!typedef|struct|static const|#)[A-Za-z][^;={}]*?\([^;{}]*\) \{$", text, re.M):
            before = text[: match.start()].rsplit("\n\n", 1)[-1] + match.group()
            assert re.search(r"_IRQL_\w+\(|_Use_decl_annotations_", before), f"{path.name}: {match.group()}"
        if path.with_suffix(".h").is_file():
            header = path.with_suffix(".h").read_text()
            for match in re.finditer(r"^\w+ (?:NTAPI |WSKAPI )?\*?(\w+)\(.*[;,]$", header, re.M):
                declaration = header[: match.start()].rsplit("\n\n", 1)[-1]
                assert "_IRQL_" in declaration, f"{path.stem}.h: {match.group(1)}"

"""Only ``harness.files.removal`` removes, truncates or renames over files: every module's source is held to that."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
METHODS = {"rmtree", "unlink", "rmdir", "removedirs", "rename", "renames", "move", "truncate", "ftruncate"}
"""Names that are forbidden whatever they are called on, as a function that is handed on, too."""
REMOVERS = {"TemporaryDirectory"}
"""Classes that remove by themselves what they made; ``harness.files.removal.scratch`` stands in for them."""
OF_OS = {"remove", "replace"}
"""Names that are forbidden on ``os`` only, or where they were imported from it: other values have methods so called."""
WORDS = {"rm", "rmdir", "unlink", "shred"}
"""Programs that remove files, as the first word of a list of arguments."""

TMP_PATH = "files below pytest's tmp_path, which the test made itself"
ALLOWED = {
    # module: what it may call, and why
    "harness/files/removal.py": ({"rmtree", "rmdir", "unlink", "rename", "truncate"}, "the one place"),
    "harness/files/ownership.py": ({"os.replace", "unlink"}, "writes the marker that removal itself relies on"),
    "setup.py": ({"rmtree"}, "empties a folder of setuptools' own build tree, before the package can be imported"),
    "harness/matrix/nightly/night.py": ({"truncate"}, "empties a lock file of the harness's cache that it holds open"),
    "harness/vm/sparse.py": ({"truncate"}, "sets the length of a file that it has just made, by mode x"),
    "harness/guests/wine/assembly.py": ({"truncate"}, "sets the length of a file that it has just made"),
    "harness/guests/windows/media.py": ({"truncate"}, "sets the length of a file in a scratch folder of its own"),
    "tests/integration/standin_kit.py": ({"rename", "truncate"}, TMP_PATH),
    "tests/integration/test_vm.py": ({"unlink"}, TMP_PATH),
    "tests/unit/test_closing.py": ({"unlink"}, TMP_PATH),
    "tests/unit/test_foreign.py": ({"rename", "truncate", "unlink"}, TMP_PATH),
    "tests/unit/test_removal.py": ({"rename"}, TMP_PATH),
    "tests/unit/test_setup.py": ({"unlink"}, TMP_PATH),
    "tests/unit/test_sparse.py": ({"truncate"}, TMP_PATH),
    "tests/unit/test_state.py": ({"unlink"}, TMP_PATH),
    "tests/unit/test_windows_guest.py": ({"rename", "rmtree"}, TMP_PATH),
    "tests/unit/test_whole.py": ({"unlink"}, TMP_PATH),
    "tests/unit/windows_kit.py": ({"rename"}, TMP_PATH),
}


def imported(tree: ast.AST) -> dict[str, str]:
    """Dotted names by what the module calls them."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    return found


def forbidden(node: ast.AST, names: dict[str, str]) -> str:
    """What a node uses that only ``harness.files.removal`` may; empty for nothing."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if owner == "os" and node.attr in OF_OS:
            return f"os.{node.attr}"
        return node.attr if owner != "removal" and node.attr in METHODS | REMOVERS else ""
    if isinstance(node, ast.Name) and node.id in names:
        module, _, name = names[node.id].rpartition(".")
        if module in ("os", "shutil", "tempfile") and name in METHODS | REMOVERS | OF_OS:
            return f"os.{name}" if name in OF_OS else name
    if isinstance(node, ast.Call) and _replaces_a_file(node):
        return "replace"
    if isinstance(node, ast.List | ast.Tuple) and node.elts:
        first = node.elts[0]
        return str(first.value) if isinstance(first, ast.Constant) and first.value in WORDS else ""
    return ""


def _replaces_a_file(node: ast.Call) -> bool:
    """``Path.replace`` takes one argument; those of texts and times take two, or keywords."""
    function = node.func
    if not isinstance(function, ast.Attribute) or function.attr != "replace":
        return False
    owner = function.value.id if isinstance(function.value, ast.Name) else ""
    return len(node.args) == 1 and not node.keywords and owner not in ("removal", "dataclasses", "os")


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything that is forbidden."""
    names = imported(tree)
    for node in ast.walk(tree):
        if what := forbidden(node, names):
            yield getattr(node, "lineno", 0), what


def modules() -> list[Path]:
    found = [ROOT / "setup.py", *ROOT.glob("harness/**/*.py"), *ROOT.glob("tests/**/*.py")]
    return sorted(path for path in found if "_data" not in path.parts)


def test_no_module_removes_by_itself() -> None:
    wrong = []
    for path in modules():
        name = path.relative_to(ROOT).as_posix()
        allowed, _why = ALLOWED.get(name, (set(), ""))
        seen = calls(ast.parse(path.read_text(encoding="utf-8")))
        wrong += [f"{name}:{line}: {call}" for line, call in seen if call not in allowed]
    assert wrong == [], "use harness.files.removal"


def test_every_exception_is_still_needed() -> None:
    for name, (allowed, why) in ALLOWED.items():
        seen = {call for _, call in calls(ast.parse((ROOT / name).read_text(encoding="utf-8")))}
        assert allowed <= seen, f"{name} needs no exception for {allowed - seen} ({why})"


@pytest.mark.parametrize(
    "source",
    [
        "import shutil\nshutil.rmtree(p)",
        "from shutil import rmtree\nrmtree(p)",
        "from os import remove as gone\ngone(p)",
        "import os\nos.replace(a, b)",
        "p.unlink()",
        "p.replace(q)",
        "p.rename(q)",
        "os.truncate(p, 0)",
        "shutil.move(a, b)",
        "stack.callback(shutil.rmtree, p)",
        "run(['rm', '-rf', p])",
        "run(('rm', p))",
        "with tempfile.TemporaryDirectory() as d: pass",
    ],
)
def test_what_removes_is_seen(source: str) -> None:
    assert list(calls(ast.parse(source))), source


@pytest.mark.parametrize(
    "source",
    ["'a'.replace('b', 'c')", "items.remove(1)", "now.replace(tzinfo=UTC)", "replace(job, nic=n)", "removal.remove(p)"],
)
def test_what_removes_nothing_is_not(source: str) -> None:
    assert not list(calls(ast.parse(source))), source

"""Nothing is checked for nothing: each function of the suite and each field of a verdict has a fault that needs it."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest

from harness import resources
from harness.selftest.defects import faults, needs, table
from tests.corpus.damages import corpus

NARROW = 60
"""A defect that makes more functions fail than this says nothing of any one of them."""

ROOT = resources.root()
STAYS = tomllib.loads((ROOT / table.FOLDER / "stays.toml").read_text(encoding="utf-8"))
FIELD = re.compile(r'"((?:eth|ip|udp|icmp|receive|completion|accounts)\.[a-z_]+)"')


def functions() -> list[str]:
    found = []
    for path in sorted(resources.suite().glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = (node.name for node in tree.body if isinstance(node, ast.FunctionDef))
        found += [f"{path.name}::{name}" for name in names if name.startswith("test_")]
    return found


def fields() -> set[str]:
    """Every field that a verdict can name."""
    sources = (ROOT / "harness" / "verify").glob("*.py")
    return {field for path in sources for field in FIELD.findall(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("function", functions())
def test_each_function_of_the_suite_is_needed_or_says_why_it_stays(function: str) -> None:
    narrow = [name for name, count in needs.load().get(function, {}).items() if count <= NARROW]
    assert narrow or STAYS["functions"].get(function), f"no defect needs {function}: add one, or a reason to stays.toml"
    assert not (narrow and function in STAYS["functions"]), f"{narrow} need {function}: its reason can go"


def test_each_field_of_a_verdict_is_needed_or_says_why_it_stays() -> None:
    words = [word for defect in table.load() for word in defect.expects]
    words += [word for fault in faults.FAULTS for word in fault.expects]
    needed = {word.partition(":")[2] for word in words} | {damaged.field.partition("[")[0] for damaged in corpus()}
    assert sorted(fields() - needed) == sorted(STAYS["fields"])


def test_nothing_is_known_of_what_is_not_there() -> None:
    learned = needs.load()
    assert set(learned) | set(STAYS["functions"]) <= set(functions())
    assert {name for found in learned.values() for name in found} <= {defect.id for defect in table.load()}


def test_the_narrowest_defects_of_a_function_are_kept() -> None:
    known = needs.with_defect({}, "wide", ["a", "b", "c", "d"])
    for name, caught in (("one", ["a"]), ("two", ["a", "b"]), ("three", ["a", "b", "c"])):
        known = needs.with_defect(known, name, caught)
    assert known == {
        "a": {"one": 1, "two": 2, "three": 3},
        "b": {"two": 2, "three": 3, "wide": 4},
        "c": {"three": 3, "wide": 4},
        "d": {"wide": 4},
    }
    assert needs.with_defect(known, "wide", [])["c"] == {"three": 3}, "what was known of a defect goes"

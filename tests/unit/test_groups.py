"""Failures that are alike share a line, whatever their numbers, parameters and cells are."""

from __future__ import annotations

from harness.results.groups import Trouble, grouped, told

SIZES = "t.py::test_sizes"


def test_parameters_cells_and_numbers_make_no_difference() -> None:
    troubles = [
        Trouble("e1000", f"{SIZES}[{size}]", f"altered (step {size}): udp.payload expected {size} bytes, seen 0x{size}")
        for size in (1, 22, 333)
    ]
    troubles.append(Trouble("pcnet", f"{SIZES}[1]", "altered (step 8): udp.payload expected nothing, seen something"))
    (group,) = grouped(troubles)
    assert group.line() == (
        f"e1000, pcnet: {SIZES} (3 cases): altered (step 1): udp.payload expected 1 bytes, seen 0x1"
    )


def test_another_field_or_another_test_is_another_group() -> None:
    found = grouped(
        [
            Trouble("e1000", SIZES, "altered (step 1): udp.payload expected a, seen b"),
            Trouble("e1000", SIZES, "altered (step 1): udp.length expected 3, seen 4"),
            Trouble("e1000", "t.py::test_sizes_of_lists", "altered (step 1): udp.payload expected a, seen b"),
        ]
    )
    assert [group.line().partition(" expected ")[0] for group in found] == [
        "e1000: t.py::test_sizes: altered (step 1): udp.payload",
        "e1000: t.py::test_sizes: altered (step 1): udp.length",
        "e1000: t.py::test_sizes_of_lists: altered (step 1): udp.payload",
    ]


def test_one_case_of_one_cell_is_told_whole() -> None:
    (group,) = grouped([Trouble("e1000", f"{SIZES}[9-ipv6]", "missing (step 3)")])
    assert group.line() == f"e1000: {SIZES}[9-ipv6]: missing (step 3)"


def test_many_cells_are_counted() -> None:
    (group,) = grouped([Trouble(f"nic{number}", SIZES, "missing") for number in range(13)])
    assert group.line() == f"nic0, nic1 and 11 other cells: {SIZES}: missing"


def test_what_the_teller_calls_alike_is() -> None:
    found = grouped([Trouble("a", SIZES, "x, y", looks="x"), Trouble("b", SIZES, "x", looks="x")])
    assert [group.line() for group in found] == [f"a, b: {SIZES}: x, y"]


def test_what_is_left_out_is_counted_in_cases_of_cells() -> None:
    troubles = [Trouble(nic, f"t.py::test_{name}[{size}]", name) for name in "abc" for nic in "xy" for size in (1, 2)]
    lines = told(troubles, 1, "cases, in the report")
    assert lines == ["x, y: t.py::test_a (2 cases): a", "... and 8 more cases, in the report"]
    assert told(troubles, 3, "") == [f"x, y: t.py::test_{name} (2 cases): {name}" for name in "abc"]
    assert told([], 3, "") == []

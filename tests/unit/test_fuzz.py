"""Hostile captures: never a traceback, a hang or another answer in columns; ``harness bench fuzz`` runs far more."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest

from harness.capture.marker import Edge, Marker, decode, on_wire
from harness.capture.tshark import one_pass
from harness.errors import HarnessError, UsageError
from harness.model.site import Site
from harness.offline.verify import FileVerdict
from harness.trace import trace_lines
from harness.wsk.operations import Close, Outcome, Step
from tests.corpus import containers as made
from tests.corpus import hostile_plan
from tests.corpus.hostile import judge, run, sound
from tests.corpus.story import SITE


@pytest.fixture(autouse=True)
def _no_tshark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "find", lambda: "")


def test_mutated_captures_get_an_error_or_a_verdict(tmp_path: Path) -> None:
    results = run(range(400), tmp_path)
    assert results.total() == 400
    assert {"inconclusive", "failed", "UsageError"} <= set(results)


@pytest.mark.parametrize("size", [0xFFFFFFFC, 0x80000000, 64 << 20, (64 << 20) + 4, 12, 8, 0])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_block_that_announces_gigabytes_costs_nothing(size: int, order: str, tmp_path: Path) -> None:
    path = tmp_path / "lying"
    head = made.section(order) + made.interface(order)
    path.write_bytes(head + struct.pack(order + "II", 6, size) + bytes(1024 - len(head) - 8))
    tracemalloc.start()
    result = judge(path, bulk=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(result, FileVerdict)
    assert result.status == "inconclusive"
    assert peak < 100 << 20


@pytest.mark.parametrize("captured", [0xFFFFFFFF, 0x80000000, 262_145])
def test_a_packet_that_announces_gigabytes_is_damage(captured: int, tmp_path: Path) -> None:
    path = tmp_path / "lying"
    path.write_bytes(made.pcap([]) + struct.pack("<IIII", 0, 0, captured, captured) + bytes(1000))
    result = judge(path, bulk=True)
    assert isinstance(result, FileVerdict)
    assert f"says that it is {captured} bytes long" in result.reason


def test_every_cut_of_a_file_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    for content in sound()[::5]:
        for end in range(0, len(content), 97):
            path.write_bytes(content[:end])
            result = judge(path, bulk=True)
            all_cases_closed = end > len(content) - 150  # only the statistics or the last marker are cut
            assert isinstance(result, HarnessError) or result.status != "passed" or all_cases_closed


def test_damaged_plans_get_an_error_or_a_verdict(tmp_path: Path) -> None:
    """The seeds after the range: an MTU that is text, 0 or negative; half a surrogate pair; line feeds."""
    seeds = [*range(200), 122, 153, 475, 1873, 2032, 3269]
    answers = hostile_plan.run(seeds, tmp_path)
    assert answers.total() == len(seeds)
    assert {"failed", "UsageError"} <= set(answers)


@pytest.mark.parametrize(
    ("key", "value"), [("mtu", "1500"), ("mtu", True), ("mtu", 67), ("mtu", 1 << 32), ("interface_index", "x")]
)
def test_a_site_with_a_strange_number_is_refused(key: str, value: object) -> None:
    with pytest.raises(UsageError, match="the plan's site cannot be read"):
        Site.from_json(SITE.to_json() | {key: value})


def test_a_name_with_half_a_surrogate_pair_is_written_and_found_again() -> None:
    step = Step(1, "test_\udcff.py::test", Close(1), Outcome())
    line = trace_lines.step_line(step)
    assert line.isascii()
    assert trace_lines.parse([trace_lines.header_line(trace_lines.Header("r", "linux")), line]).steps == (step,)
    found = decode(Marker(bytes(16), 1, Edge.START, 1, step.case).encode(bytes(6)))
    assert found is not None
    assert found.name == on_wire(step.case) == "test_\\udcff.py::test"

"""The faults of wire and lab as ``harness defects`` runs them."""

from __future__ import annotations

from harness.defects.judge import Row

CASE = "test_destination.py::test_explicit_address[ipv4]"


def chosen(only: str = "", *, short: bool = False) -> tuple[str, ...]:
    """Those of a group or id; all when neither is asked."""
    return ()


def run(fault: str, runner: object) -> Row:
    """Run and judge one fault."""
    raise NotImplementedError

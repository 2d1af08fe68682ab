"""One cell from boot to verdict: ``cell`` brings lab, guest and driver up, ``case`` judges each test."""

from harness.session.cell import run_cell

__all__ = ["run_cell"]

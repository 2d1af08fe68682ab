"""The names that tests import; ``harness.cell.api`` documents and defines them."""

from harness.cell.api import DatagramSocket, Wire, Wsk, pattern

__all__ = ["DatagramSocket", "Wire", "Wsk", "pattern"]

"""The names that an adapter for somebody's own driver imports; ``harness.cell.adapter`` documents and defines them."""

from harness.cell.adapter import DriverAdapter, completed, not_offered

__all__ = ["DriverAdapter", "completed", "not_offered"]

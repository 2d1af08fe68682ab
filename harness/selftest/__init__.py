"""The harness tests itself: ``steps`` is ``harness test``; known defects, benchmarks and random operations."""

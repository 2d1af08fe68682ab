"""Benchmarks: each against its peer in the same run, with the ratio printed (``harness bench``)."""

"""Encodes and reads the trace of a run (operations.jsonl, "plan" in the code): executed operations with outcomes."""

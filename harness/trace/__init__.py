"""The trace of a run (operations.jsonl): executed operations with their outcomes, written, ended and read."""

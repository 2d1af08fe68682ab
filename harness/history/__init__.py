"""Keeps the verdicts of earlier runs in one SQLite file, answers questions from it, and compares a run with them."""

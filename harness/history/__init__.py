"""What earlier runs said: one SQLite file, written after every run, and the questions people ask of it."""

"""Renders a run's record (``results.json``) for a terminal, as a web page, as JUnit XML and as Markdown."""

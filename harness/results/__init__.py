"""The results of a run: statuses, the record ``results.json``, and failures grouped by what they share."""

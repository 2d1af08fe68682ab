"""How a run is told: ``results.json`` is the record, and everything else is made from it."""

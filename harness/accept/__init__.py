"""``harness accept``: settles once, on somebody's real Windows, what documents leave open, and writes it down.

``steps`` is the list, ``bench`` the machine that the steps work on, ``probes`` what is sent to see how the stack
behaves, ``report`` what comes of it: a report for people and ``observations.json``, which the model's ``windows``
profile reads.
"""

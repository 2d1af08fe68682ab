"""Faults of wire and lab, put in on purpose: they must never look like the driver's."""

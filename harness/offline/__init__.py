"""Judges a run from its files alone (capture and plan), on any machine, without lab, guest or root."""

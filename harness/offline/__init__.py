"""Verdicts from files alone: a capture and a plan, on any machine, without lab, guest or root."""

"""Guests: what an operating system under test boots from, and how it is driven with its own commands."""

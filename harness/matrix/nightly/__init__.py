"""Runs that nobody watches: locked, resumed, compared with the nights before, kept within bounds."""

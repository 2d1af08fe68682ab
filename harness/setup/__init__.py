"""Installs what the harness needs before it can import other packages: Debian packages and a ``.venv``.

Uses the standard library only, because it runs under Debian's python3 from a fresh checkout.
"""

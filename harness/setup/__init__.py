"""Sets up what the harness needs before it can import anything: Debian packages and a ``.venv``.

Standard library only: it runs under Debian's own python3 from a fresh checkout.
"""

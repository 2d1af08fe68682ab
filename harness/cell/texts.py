"""Texts that tests, drivers and file names bring in, made fit for every file that a run writes. Pure."""

from __future__ import annotations

_LONGEST = 2000  # characters of one line


def plain(text: str) -> str:
    """The text without lone surrogates, which no UTF-8 file can hold; each becomes its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def described(error: BaseException) -> str:
    """The error's class and the first line of its text, also when its ``__str__`` raises."""
    kind = type(error).__name__
    try:
        lines = str(error).strip().splitlines()
    except BaseException as worse:  # a test's own class may raise anything, and must not hide the error
        if isinstance(worse, KeyboardInterrupt):
            raise
        lines = [f"its text cannot be read: str() raised {type(worse).__name__}"]
    return plain(f"{kind}: {lines[0][:_LONGEST] if lines else ''}".rstrip(": "))

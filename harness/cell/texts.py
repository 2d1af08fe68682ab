"""Texts that tests, drivers and file names bring in, made fit for every file that a run writes. Pure."""

from __future__ import annotations

from harness.errors import Interrupted, interruption

_LONGEST = 2000  # characters of one line


def plain(text: str) -> str:
    """The text without lone surrogates, which no UTF-8 file can hold; each becomes its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def read(value: object) -> str:
    """The text of any object, also when its ``__str__`` raises; only the parent's request to end is passed on."""
    try:
        return str(value)
    except BaseException as worse:  # a test's own class may raise anything, and must not hide the error
        if isinstance(interrupt := interruption(worse), Interrupted):
            raise interrupt from None
        return f"its text cannot be read: str() raised {type(worse).__name__}"


def described(error: BaseException) -> str:
    """The error's class and the first line of its text, also when its ``__str__`` raises."""
    kind = type(error).__name__
    lines = read(error).strip().splitlines()
    return plain(f"{kind}: {lines[0][:_LONGEST] if lines else ''}".rstrip(": "))

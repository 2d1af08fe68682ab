"""What a command line is refused for before anything is installed for it: a mistake must not cost a set-up first.

Imports nothing but the standard library and modules that need no more.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UsageError

_TEXTS = ("-h", "--help", "--list")


def check(arguments: Sequence[str]) -> None:
    """Look at the command line of ``accept``, which installs most.

    Raises:
        UsageError: no guest is named, or there is no image of it.
    """
    command = next((word for word in arguments if not word.startswith("-")), "")
    if command == "accept" and not any(word in _TEXTS for word in arguments):
        require_windows(_value(arguments, "--guest"))


def require_windows(name: str) -> None:
    """See that the cache has an image of a Windows guest.

    Raises:
        UsageError: it has none, or no name is given.
    """
    if not name:
        raise UsageError("no guest is named", mend="harness accept --guest NAME, or --list to see the steps")
    from harness.guests import cache  # late: every command passes here, and few ask for it

    there = [entry.manifest.get("guest") for entry in cache.entries() if entry.manifest.get("kind") == "windows"]
    if name not in there:
        known = ", ".join(dict.fromkeys(map(str, there))) or "none"
        what = f"no image of a Windows guest {name!r} (there are: {known})"
        raise UsageError(what, mend="`harness image build windows` makes one")


def _value(arguments: Sequence[str], option: str) -> str:
    """The value of an option, as typer takes it: the last one given counts."""
    value = ""
    for word, following in zip(arguments, (*arguments[1:], ""), strict=True):
        if word == option:
            value = following
        elif word.startswith(f"{option}="):
            value = word.partition("=")[2]
    return value

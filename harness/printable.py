"""Text from elsewhere, made fit to be shown: every place that shows or prints such text asks here.

Names of cases, files, drivers and NICs, reasons, and what guests and tools say may hold anything. A line feed in a
case's name would forge a line of ours, an escape sequence would repaint the terminal, a bidirectional control would
reverse what is read, and half a surrogate pair cannot be written at all. Such characters are shown as Python's escapes.
"""

from __future__ import annotations

import re
import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"})
"""Unicode's general categories of what has no form of its own: controls, formats, surrogates, separators of lines."""
_KEPT = frozenset("\u00ad\u200c\u200d")
"""Soft hyphen and joiners: letters of some scripts, and of emoji, need them."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def line(text: str) -> str:
    """The text as part of one line: control characters, line ends among them, and the like are written as escapes."""
    return text if text.isprintable() else "".join(map(_shown, text))


def block(text: str) -> str:
    """The text as lines: as ``line``, but line feeds and tabs stay."""
    return "\n".join("\t".join(map(line, row.split("\t"))) for row in text.replace("\r\n", "\n").split("\n"))


def marked_up(text: str) -> str:
    """The text as part of one line in Rich's markup, which nothing in it is taken for."""
    from rich.markup import escape  # here: not every command prints by Rich

    return escape(line(text))


def xml(text: str) -> str:
    """The text as lines in XML 1.0; what XML forbids is among what is escaped."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", block(text))


def _shown(letter: str) -> str:
    if letter.isprintable() or letter in _KEPT or unicodedata.category(letter) not in _UNSEEN:
        return letter
    return letter.encode("unicode_escape").decode("ascii")

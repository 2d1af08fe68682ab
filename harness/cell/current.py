"""Stands for the ``wsk`` or ``wire`` of whatever case runs when it is used, for fixtures of any scope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Current:
    """Passes every use on.

    Args:
        find: gives the object of the running case.
    """

    def __init__(self, find: Callable[[], object]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever the object has)
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._find(), name)

    def __repr__(self) -> str:
        return f"Current({self._find()!r})"
